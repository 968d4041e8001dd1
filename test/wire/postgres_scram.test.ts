import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createScram } from '../../src/wire/postgres_scram.ts';

// RFC 7677 §3
const vector = {
  clientFirst: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
  serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  clientFinal:
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
};
const exchange = (password = 'pencil') => createScram({ password, user: 'user', nonce: 'rOprNGfwEbeRWgbNEkqO' });

test('the exchange of RFC 7677 comes out to the byte', async () => {
  const scram = exchange();
  assert.equal(scram.first, vector.clientFirst);
  assert.equal(await scram.respond(vector.serverFirst), vector.clientFinal);
  scram.verify(vector.serverFinal);
});

test('a password is normalised as PostgreSQL does it', async () => {
  const respond = (password: string) => exchange(password).respond(vector.serverFirst);
  const cases: [string, string][] = [
    ['Ⅸ', 'IX'],
    ['a\u00a0b', 'a b'],
    ['I\u00adX', 'IX'],
    ['e\u0301', '\u00e9'],
  ];
  for (const [given, stored] of cases) assert.equal(await respond(given), await respond(stored), given);
  assert.notEqual(await respond('user'), await respond('USER'));
});

test('a server that does not know the password is found out', async () => {
  for (const final of ['v=', 'v=AAAA', `v=${Buffer.alloc(32).toString('base64')}`, 'x=1', '', 'e=other-error']) {
    const scram = exchange();
    await scram.respond(vector.serverFirst);
    assert.throws(() => scram.verify(final), /SCRAM/, final);
  }
  assert.throws(() => exchange().verify(vector.serverFinal), /SCRAM/, 'a proof without an exchange');
});

test('a challenge that breaks the rules is not answered', async () => {
  const nonce = 'rOprNGfwEbeRWgbNEkqO';
  const challenges = [
    `r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
    `r=other${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
    `r=${nonce}x,s=,i=4096`,
    `r=${nonce}x,s=AAAA`,
    `r=${nonce}x,s=AAAA,i=0`,
    `r=${nonce}x,s=AAAA,i=-1`,
    `r=${nonce}x,s=AAAA,i=1e3`,
    `r=${nonce}x,s=AAAA,i=2147483647`,
    `r=${nonce}x,r=${nonce}y,s=AAAA,i=4096`,
    'nonsense',
    '',
  ];
  for (const challenge of challenges) await assert.rejects(exchange().respond(challenge), /The server/, challenge);
});
