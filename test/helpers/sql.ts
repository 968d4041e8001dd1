import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { openConnection } from '../../src/wire/postgres.ts';
import { toPostgresAddress } from '../../src/wire/postgres_url.ts';
import { databaseOf } from './backends.ts';

type Row = Record<string, any>;
type Params = (string | number)[];

/** Asks, or changes, the database of a server's folder as another process would, whichever it is; `$1` as in src. */
export async function sql(folder: string, text: string, ...params: Params): Promise<Row[]> {
  return sqlEach(folder, text, [params]);
}

/** One statement with each of several lists of parameters: all or none, and the rows of all. */
export async function sqlEach(folder: string, text: string, lists: readonly Params[]): Promise<Row[]> {
  const url = await databaseOf(folder);
  return url === undefined ? inFile(path.join(folder, 'app.db'), text, lists) : inPostgres(url, text, lists);
}

function inFile(file: string, text: string, lists: readonly Params[]): Row[] {
  const db = new DatabaseSync(file, { timeout: 30_000 });
  try {
    const statement = db.prepare(text.replaceAll(/\$(\d+)/g, '?$1'));
    if (lists.length === 1) return statement.all(...lists[0]!);
    db.exec('BEGIN IMMEDIATE');
    const rows = lists.flatMap((params) => statement.all(...params));
    db.exec('COMMIT');
    return rows;
  } finally {
    db.close();
  }
}

async function inPostgres(url: string, text: string, lists: readonly Params[]): Promise<Row[]> {
  const connection = await openConnection(toPostgresAddress(url), { greeting: '', timeoutMs: 30_000 });
  const isQuery = text.startsWith('SELECT');
  const asked = isQuery ? `SELECT row_to_json(t)::text FROM (${text}) t` : text;
  try {
    const results = await connection.run(lists.map((params) => ({ sql: asked, params })), 30_000);
    return isQuery ? results.flatMap(({ rows }) => rows.map(([row]) => JSON.parse(String(row)))) : [];
  } finally {
    connection.close();
  }
}
