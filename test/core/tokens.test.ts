import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';

import { createTokens } from '../../src/core/tokens.ts';
import type { Claims } from '../../src/core/tokens.ts';

const KEY = 'a key of the tests that is long enough';
const NOW = 1_769_860_800_000;
const SECOND = NOW / 1000;
const CLAIMS: Claims = {
  ...{ sub: 'user', role: 'admin', sid: 'session', jti: 'token' },
  ...{ iat: SECOND, exp: SECOND + 60, typ: 'access' },
};
const HEADER = '{"alg":"HS256","typ":"JWT"}';

const none = { issuer: undefined, audience: undefined };
const create = (settings: Partial<Parameters<typeof createTokens>[0]> = {}) =>
  createTokens({ keys: [KEY], ...none, ...settings });

const encode = (text: string | Buffer): string => Buffer.from(text).toString('base64url');

/** A token whose signature is right, whatever else it says: an oracle made of HMAC alone (RFC 7515 §5.1). */
function signed(claims: unknown, { header = HEADER, key = KEY, hash = 'sha256' } = {}): string {
  const payload = typeof claims === 'string' || Buffer.isBuffer(claims) ? claims : JSON.stringify(claims);
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${createHmac(hash, key).update(input).digest('base64url')}`;
}

const accepts = (token: string, settings = {}): boolean => create(settings).verify(token, 'access', NOW) !== undefined;

test('a token is what RFC 7515 says it is, and reads as it was signed', () => {
  const token = create().sign(CLAIMS);
  assert.equal(token, signed(CLAIMS));
  assert.deepEqual(create().verify(token, 'access', NOW), CLAIMS);
  assert.deepEqual(create().verify(signed(CLAIMS), 'access', NOW), CLAIMS);
});

test('RFC 7515 appendix A.1 is refused for its header alone: ours is the only one', () => {
  const key = Buffer.from(
    'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow', 'base64url',
  );
  const input = [
    'eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9',
    'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ',
  ].join('.');
  const signature = createHmac('sha256', key).update(input).digest('base64url');
  assert.equal(signature, 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk');
  assert.equal(accepts(`${input}.${signature}`, { keys: [key.toString('latin1')] }), false);
});

test('a header other than ours is refused, though its signature is right', () => {
  const headers = [
    ...['{"alg":"none","typ":"JWT"}', '{"alg":"HS512","typ":"JWT"}', '{"alg":"hs256","typ":"JWT"}', '{"alg":"HS256"}'],
    ...['{"typ":"JWT","alg":"HS256"}', '{"alg":"HS256","typ":"jwt"}', '{"alg": "HS256","typ":"JWT"}', '{}', '', 'x'],
    ...['{"alg":"HS256","typ":"JWT","kid":"1"}', '{"alg":"HS256","typ":"JWT"} ', '{"alg":"RS256","typ":"JWT"}'],
    ...['{"alg":"HS256","typ":"JWT","crit":["b64"],"b64":false}', '{"alg":"HS256","alg":"none","typ":"JWT"}'],
    ...['{"alg":"HS256","typ":"JWT","jwk":{"kty":"oct","k":"AA"}}', '{"alg":"HS256","typ":"JWT","zip":"DEF"}'],
  ];
  for (const header of headers) assert.equal(accepts(signed(CLAIMS, { header })), false, header);
  assert.equal(accepts(signed(CLAIMS, { hash: 'sha512' })), false, 'HS512 under the header of HS256');
});

test('a token has one text: every other spelling of it is refused', () => {
  const token = signed(CLAIMS);
  assert.equal(accepts(token), true);
  const [header = '', payload = '', signature = ''] = token.split('.');
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  /** The last character carries two bits that say nothing: three more texts have the same bytes. */
  const twins = [1, 2, 3].map((bits) => signature.slice(0, -1) + alphabet[alphabet.indexOf(signature.at(-1)!) ^ bits]);
  for (const twin of twins) assert.deepEqual(Buffer.from(twin, 'base64url'), Buffer.from(signature, 'base64url'));
  const variants = [
    ...twins.map((twin) => `${header}.${payload}.${twin}`),
    ...['', '.', '..', '...', 'x', token.slice(1), token.slice(0, -1), `${token}=`, `${token}A`, `${token} `],
    ...[` ${token}`, `${token}.`, `.${token}`, `${token}.${signature}`, `${header}.${token}`],
    `${header}.${payload}.${payload}.${signature}`,
    ...[`${header}.${payload}`, `${header}.${payload}.`, `${header}..${signature}`, `.${payload}.${signature}`],
    ...[`${header}.${payload}=.${signature}`, `${header}=.${payload}.${signature}`, token.replaceAll('.', ' ')],
    ...[`${header}\n.${payload}.${signature}`, `${token}\n`, `${token}\0`, token.toUpperCase()],
    token.replace('e', 'é'),
    `${header}.${payload}.${Buffer.from(signature, 'base64url').toString('base64')}`,
    `${header}.${payload}.${Buffer.from(signature, 'base64url').toString('hex')}`,
    `${header}.${payload}.${'A'.repeat(43)}`,
    `${encode(`${HEADER}`)}.${payload.replaceAll('-', '+').replaceAll('_', '/')}~.${signature}`,
  ];
  for (const variant of variants) assert.equal(accepts(variant), false, variant);
  for (let i = 0; i < token.length; i++) {
    if (token[i] === '.') continue;
    const other = token[i] === 'A' ? 'B' : 'A';
    assert.equal(accepts(token.slice(0, i) + other + token.slice(i + 1)), false, `character ${i}`);
  }
});

test('padding and stray bits in the payload are refused even under a signature of ours', () => {
  const whole = encode(JSON.stringify(CLAIMS));
  const stray = [`${whole}=`, `${whole}==`, whole.slice(0, -1), `${whole} `, `!${whole}`, `${whole}\n`];
  for (const payload of [...stray, '', 'e30=']) {
    const input = `${encode(HEADER)}.${payload}`;
    assert.equal(accepts(`${input}.${createHmac('sha256', KEY).update(input).digest('base64url')}`), false, payload);
  }
});

test('each claim must be there and of its type', () => {
  const wrong: Record<string, unknown[]> = {
    sub: [undefined, null, '', 1, true, [], ['user'], {}],
    role: [undefined, null, '', 1, ['admin'], {}],
    sid: [undefined, null, '', 1, ['session'], {}],
    jti: [undefined, null, '', 1, {}],
    iat: [undefined, null, '1', -1, true, [SECOND], {}],
    exp: [undefined, null, String(SECOND + 60), '', -1, true, [SECOND + 60], {}, SECOND, SECOND - 1, 0],
    nbf: [null, '1', -1, true, [1], {}, SECOND + 1, SECOND + 0.001],
    typ: [undefined, null, '', 'refresh', 'Access', 'id', 1, ['access'], {}],
    iss: [null, 1, true, [], ['me'], {}],
    aud: [null, 1, true, {}, [1], [null], [['api']], ['api', 1]],
  };
  for (const [claim, values] of Object.entries(wrong)) {
    for (const value of values) {
      assert.equal(accepts(signed({ ...CLAIMS, [claim]: value })), false, `${claim}: ${JSON.stringify(value)}`);
    }
  }
  assert.equal(accepts(signed(JSON.stringify(CLAIMS).replace(/"exp":\d+/, '"exp":1e999'))), false, 'infinite');
  const text = JSON.stringify(CLAIMS);
  for (const payload of ['', 'null', '[]', '1', '"x"', '{', '[{}]', `\ufeff${text}`, `[${text}]`, `${text}x`, text.slice(1)]) {
    assert.equal(accepts(signed(payload)), false, payload);
  }
  const latin1 = Buffer.from(JSON.stringify({ ...CLAIMS, sub: 'é' }), 'latin1');
  assert.equal(accepts(signed(latin1)), false, 'not UTF-8');
  const named = [{ iss: 'anyone' }, { aud: 'any' }, { aud: ['any', 'more'] }, { scope: {} }];
  for (const fine of [{ nbf: SECOND }, { nbf: 0 }, { exp: SECOND + 0.5 }, ...named]) {
    assert.equal(accepts(signed({ ...CLAIMS, ...fine })), true, JSON.stringify(fine));
  }
});

test('a token ends at the very millisecond, also when it has been verified before', () => {
  const tokens = create();
  for (const token of [tokens.sign(CLAIMS), signed({ ...CLAIMS, jti: 'not ours' })]) {
    for (let i = 0; i < 3; i++) {
      assert.ok(tokens.verify(token, 'access', CLAIMS.exp * 1000 - 1));
      assert.equal(tokens.verify(token, 'access', CLAIMS.exp * 1000), undefined);
      assert.ok(tokens.verify(token, 'access', CLAIMS.exp * 1000, { evenExpired: true }));
    }
  }
  const later = signed({ ...CLAIMS, nbf: SECOND + 10 });
  assert.equal(tokens.verify(later, 'access', NOW), undefined);
  assert.equal(tokens.verify(later, 'access', NOW, { evenExpired: true }), undefined);
  assert.ok(tokens.verify(later, 'access', NOW + 10_000));
  assert.equal(tokens.verify(later, 'access', NOW), undefined, 'remembering it does not make it valid earlier');
});

test('an access token is no refresh token, nor the other way round, also when remembered', () => {
  const tokens = create();
  const access = tokens.sign(CLAIMS);
  const refresh = tokens.sign({ ...CLAIMS, typ: 'refresh' });
  for (let i = 0; i < 2; i++) {
    assert.equal(tokens.verify(access, 'refresh', NOW), undefined);
    assert.equal(tokens.verify(refresh, 'access', NOW), undefined);
    assert.ok(tokens.verify(access, 'access', NOW));
    assert.ok(tokens.verify(refresh, 'refresh', NOW));
  }
});

test('issuer and audience, when set, are written and required', () => {
  const settings = { issuer: 'https://issuer', audience: 'api' };
  const tokens = create(settings);
  const claims = JSON.parse(Buffer.from(tokens.sign(CLAIMS).split('.')[1]!, 'base64url').toString());
  assert.deepEqual(claims, { ...CLAIMS, iss: 'https://issuer', aud: 'api' });
  const own = { iss: 'https://issuer', aud: 'api' };
  for (const fine of [own, { ...own, aud: ['other', 'api'] }]) {
    assert.equal(accepts(signed({ ...CLAIMS, ...fine }), settings), true, JSON.stringify(fine));
  }
  const wrong = [
    ...[{}, { iss: own.iss }, { aud: own.aud }, { ...own, iss: 'https://issuer/' }, { ...own, iss: '' }],
    ...['ap', 'other api', [], ['other']].map((aud) => ({ ...own, aud })),
  ];
  for (const other of wrong) {
    assert.equal(accepts(signed({ ...CLAIMS, ...other }), settings), false, JSON.stringify(other));
  }
});

test('previous keys verify and never sign', () => {
  const before = 'the key of the tests before that one';
  const tokens = create({ keys: [KEY, before] });
  assert.equal(tokens.sign(CLAIMS), signed(CLAIMS));
  assert.ok(tokens.verify(signed(CLAIMS, { key: before }), 'access', NOW));
  assert.equal(tokens.verify(signed(CLAIMS, { key: `${before}.` }), 'access', NOW), undefined);
  assert.equal(accepts(signed(CLAIMS, { key: before })), false);
  const foreign = 'ключ из букв, которых нет в ASCII';
  assert.equal(accepts(signed(CLAIMS, { key: foreign }), { keys: [foreign] }), true);
});

test('a token has at most 4 KiB', () => {
  const sized = (length: number): string => {
    const bare = signed({ ...CLAIMS, pad: '' }).length;
    for (let pad = Math.floor(((length - bare) * 3) / 4) - 2; ; pad++) {
      const token = signed({ ...CLAIMS, pad: 'x'.repeat(pad) });
      if (token.length >= length) return token;
    }
  };
  assert.ok(sized(4094).length <= 4096);
  assert.equal(accepts(sized(4094)), true);
  assert.equal(accepts(sized(4097)), false);
  assert.equal(accepts('a'.repeat(1_000_000)), false);
});

test('what is remembered is bounded, and forgotten tokens verify as before', () => {
  const tokens = create();
  const first = tokens.sign(CLAIMS);
  for (let i = 0; i < 5000; i++) tokens.sign({ ...CLAIMS, jti: `${i}` });
  assert.deepEqual(tokens.verify(first, 'access', NOW), CLAIMS);
  assert.equal(tokens.verify(`${first.slice(0, -5)}AAAAA`, 'access', NOW), undefined);
});
