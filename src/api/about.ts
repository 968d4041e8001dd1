/** What `/openapi.json` and `/docs` say of this API as a whole: paragraphs, with `code` in backticks. */
export const about = {
  title: 'bare-api',
  license: { name: 'MIT', identifier: 'MIT' },
  description: `
Accounts, sessions and limits, on the standard library of Node alone. Register, log in, and send the access token as \
\`Authorization: Bearer\`; the refresh token that came with it gets the next pair, until the session ends.

Every refusal is \`application/problem+json\` (RFC 9457) with a stable \`code\`: a 422 names every wrong field, a 429 \
says in \`Retry-After\` when to come again. Unknown fields are refused and nothing is coerced.`.trim(),
  /** By the `tag` of routes, in the order in which they are shown. */
  tags: {
    auth: 'Opening an account, and starting, continuing and ending sessions.',
    users: 'Your own account, and where it is logged in.',
    administration: 'All accounts, for administrators.',
    public: 'Open to anyone.',
    system: 'Health, figures and this documentation.',
  },
};
