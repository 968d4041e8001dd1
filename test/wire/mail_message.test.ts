import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { toMessage } from '../../src/wire/mail_message.ts';
import type { Draft } from '../../src/wire/mail_message.ts';

const draft: Draft = {
  from: { name: '', address: 'server@example.org' },
  to: 'ann@example.org',
  subject: 'Hello',
  text: 'Hello\n',
  date: Date.UTC(2024, 1, 29, 23, 59, 58),
  messageId: '0190-abc@example.org',
};

const naughty = [
  '', ' ', '\t', 'a', 'a ', ' a', 'a  b', 'a\t', '=', '=3D', '=?utf-8?B?YQ==?=', '=?utf-8?q?a?= =?utf-8?q?b?=',
  'ä', 'Grüße aus Köln', '日本語のメールの件名はとても長くなることがありますので折り返しが必要になります。もっと長く',
  'شكرا جزيلا على رسالتك',
  '\u202eright to left\u202c', 'e\u0301\u0302\u0303'.repeat(40), 'Z̗͓̙̺̮ͅa̡͓̞ͅl͔̟͖͓̹g͚o',
  '👩‍👩‍👧‍👦'.repeat(9), '🏳️‍🌈 and 🇩🇪', '\u{10ffff}',
  '\ufeffx', '\ufffd', 'x\x01y', '\x7f\x1b[31m',
  'w'.repeat(75), 'w'.repeat(76), 'w'.repeat(77), 'w'.repeat(3000), `${'w'.repeat(75)} `, `${'w'.repeat(74)} x`,
  `${'w'.repeat(73)}ä`, `${'w'.repeat(74)}=`, 'ä'.repeat(500), ' '.repeat(200), `${'word '.repeat(60)}end`,
  '.', '..', '...', '.hidden', 'From here on', '--boundary', '"quoted" \\ back', 'a, b; c: <d@e.org> (f)', '<script>',
  'https://example.org/reset?token=aGVsbG8-_aGVsbG8aGVsbG8aGVsbG8aGVsbG8aGVsbG8aGVsbG8aGVsbG8&x=%20',
  '\u2028\u2029\u0085',
];
const naughtyTexts = [
  ...naughty, 'a\nb\r\nc\rd', '\n', '\n\n', '\r\n\r\n', '\r\r', '\n\r', 'a\n\n\n',
  'a \nb\t\r\n c ', '.\n..\n.\r\n...\r.',
  'nul \0 bell \x07 form \f', naughty.join('\n'), 'lone \ud800 surrogate',
];

/** Reads what RFC 5322, 2045 and 2047 say, and nothing more; shares nothing with what it checks. */
function parse(message: string): { fields: Map<string, string>; text: string } {
  const cut = message.indexOf('\r\n\r\n');
  const fields = new Map<string, string>();
  for (const field of message.slice(0, cut).replace(/\r\n(?=[ \t])/g, '').split('\r\n')) {
    const colon = field.indexOf(':');
    fields.set(field.slice(0, colon), field.slice(colon + 1).trim());
  }
  const octets = message.slice(cut + 4).replace(/=\r\n/g, '').replace(/=([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)));
  return { fields, text: Buffer.from(octets, 'latin1').toString() };
}
const decodeWords = (field: string): string =>
  field.replace(/\?= +=\?/g, '?==?').replace(/=\?utf-8\?B\?([A-Za-z0-9+/]*={0,2})\?=/g, (_, base64: string) => {
    const octets = Buffer.from(base64, 'base64');
    assert.ok(octets.equals(Buffer.from(octets.toString())), 'an encoded-word is made of whole characters');
    return octets.toString();
  });

/** Line ends are LF and end every line: what a mail can say of a text. */
const canonical = (text: string): string => {
  const lines = text.replace(/\r\n|\r/g, '\n').toWellFormed();
  return lines === '' || lines.endsWith('\n') ? lines : `${lines}\n`;
};

/** Texts put together from the pieces above, the same at every run. */
function mixtures(count: number): string[] {
  let state = 1;
  const pick = (pieces: readonly string[]): string => {
    state = (state * 48_271) % 2_147_483_647;
    return pieces[state % pieces.length]!;
  };
  return Array.from({ length: count }, () => Array.from({ length: 12 }, () => pick(naughtyTexts)).join(''));
}

/** Every subject, every name and every text, each beside plain ones. */
const drafts: Draft[] = [
  ...naughty.map((subject) => ({ ...draft, subject })),
  ...naughty.map((name) => ({ ...draft, from: { name, address: 'server@example.org' } })),
  ...[...naughtyTexts, ...mixtures(200)].map((text) => ({ ...draft, text })),
];

describe('a message', () => {
  test('says who, when and what, and that a machine wrote it', () => {
    const written = toMessage({ ...draft, from: { name: 'The Server', address: 'server@example.org' } });
    assert.equal(written, [
      'Date: Thu, 29 Feb 2024 23:59:58 +0000',
      'From: The Server <server@example.org>',
      'To: ann@example.org',
      'Message-ID: <0190-abc@example.org>',
      'Subject: Hello',
      'Auto-Submitted: auto-generated',
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=utf-8',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      'Hello',
      '',
    ].join('\r\n'));
  });

  test('is ASCII in narrow lines: 76 columns, no blank at the end, no line of blanks', () => {
    for (const each of drafts) {
      const lines = toMessage(each).split('\r\n');
      assert.equal(lines.pop(), '');
      for (const line of lines) assert.match(line, /^(?:|[\t -~]{0,75}[!-~])$/, JSON.stringify(each));
    }
  });

  test('reads back as it was written', () => {
    for (const each of drafts) {
      const { fields, text } = parse(toMessage(each));
      assert.equal(decodeWords(fields.get('Subject')!), each.subject);
      const name = each.from.name === '' ? '' : `${each.from.name} `;
      assert.equal(decodeWords(fields.get('From')!), name === '' ? each.from.address : `${name}<${each.from.address}>`);
      assert.equal(text.replaceAll('\r\n', '\n'), canonical(each.text));
      assert.equal(fields.size, 9);
    }
  });

  test('breaks long lines as the standards draw them', () => {
    const body = (text: string): string => toMessage({ ...draft, text }).split('\r\n\r\n')[1]!;
    assert.equal(body('w'.repeat(76)), `${'w'.repeat(76)}\r\n`);
    assert.equal(body('w'.repeat(77)), `${'w'.repeat(75)}=\r\nww\r\n`);
    assert.equal(body(`${'w'.repeat(74)}é`), `${'w'.repeat(74)}=\r\n=C3=A9\r\n`);
    assert.equal(body('a \tb \nc\t'), 'a \tb=20\r\nc=09\r\n');
    const longTo = `${'a'.repeat(64)}@${'b.'.repeat(90)}org`;
    assert.ok(toMessage({ ...draft, to: longTo }).includes(`\r\nTo:\r\n ${longTo}\r\n`));
  });

  test('has nothing in its headers that would begin another', () => {
    for (const evil of ['\r', '\n', '\0', '\r\nBcc: evil@example.org', '\n\nbody', 'x\n']) {
      const address = `a@b.org${evil}`;
      for (const each of [
        { ...draft, subject: evil },
        { ...draft, from: { name: evil, address: 'a@b.org' } },
        { ...draft, from: { name: 'A', address } },
        { ...draft, to: address },
        { ...draft, messageId: `x@y${evil}` },
      ]) assert.throws(() => toMessage(each), JSON.stringify(each));
    }
    for (const messageId of ['', 'x', 'x y@z', 'x@y>', '<x@y>', 'x@', '@y']) {
      assert.throws(() => toMessage({ ...draft, messageId }), messageId);
    }
    for (const date of [NaN, Infinity, 9e15]) assert.throws(() => toMessage({ ...draft, date }));
  });

  const python = ['python3', '/usr/bin/python3'].find((each) => spawnSync(each, ['--version']).status === 0);
  const skip = python === undefined && 'needs python3 on the PATH';
  test('reads back in Python\'s email package too', { skip }, () => {
    const script = `
import email, email.header, email.policy, email.utils, json, sys
def words(value): return str(email.header.make_header(email.header.decode_header(value)))
out = []
for raw in json.load(sys.stdin):
    m = email.message_from_bytes(raw.encode('ascii'), policy=email.policy.default)
    c = email.message_from_bytes(raw.encode('ascii'), policy=email.policy.compat32)
    out.append({'defects': [str(d) for d in m.defects],
        'subject': words(c['Subject'].replace('\\r\\n', '')), 'address': m['From'].addresses[0].addr_spec,
        'name': words(email.utils.parseaddr(c['From'].replace('\\r\\n', ''))[0]), 'to': m['To'].addresses[0].addr_spec,
        'date': int(m['Date'].datetime.timestamp() * 1000), 'id': str(m['Message-ID']),
        'text': m.get_payload(decode=True).decode('utf-8')})
json.dump(out, sys.stdout)
`;
    const input = JSON.stringify(drafts.map(toMessage));
    const run = spawnSync(python!, ['-c', script], { input, encoding: 'utf8', maxBuffer: 1 << 26 });
    assert.equal(run.status, 0, run.stderr);
    const read = JSON.parse(run.stdout) as Record<string, unknown>[];
    assert.equal(read.length, drafts.length);
    for (const [i, each] of drafts.entries()) {
      const { text, ...fields } = read[i]!;
      assert.deepEqual(fields, {
        defects: [],
        subject: each.subject,
        address: each.from.address,
        name: each.from.name,
        to: each.to,
        date: each.date,
        id: `<${each.messageId}>`,
      });
      assert.equal((text as string).replaceAll('\r\n', '\n'), canonical(each.text));
    }
  });
});
