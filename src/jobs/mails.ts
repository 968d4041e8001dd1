export interface MailWords {
  email: string;
  /** Without a slash at the end. */
  publicUrl: string;
  /** Of the mails that carry one. */
  token: string;
}

const curl = (url: string, body: Record<string, string>): string =>
  `curl -X POST ${url} -H 'Content-Type: application/json' -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`;

/** Subject and text of each mail. */
export const mails = {
  password_reset: ({ email, publicUrl, token }) => ({
    subject: 'Set a new password',
    text: `Somebody asked to set a new password for the account of ${email}
at ${publicUrl}

If it was you, this token lets you do so, once, within 30 minutes:

${token}

For example:

${curl(`${publicUrl}/api/v1/auth/password/reset`, { token, new_password: 'YOUR NEW PASSWORD' })}

If it was not you, there is nothing to do: the password stays as it is.
`,
  }),

  email_verification: ({ email, publicUrl, token }) => ({
    subject: 'Confirm your e-mail address',
    text: `The account of ${email}
at ${publicUrl}
asks you to confirm that this address is yours.

This token does so, once, within 24 hours:

${token}

For example:

${curl(`${publicUrl}/api/v1/auth/email/verify`, { token })}

If you have no such account, there is nothing to do.
`,
  }),

  password_changed: ({ email, publicUrl }) => ({
    subject: 'Your password was changed',
    text: `The password of the account of ${email}
at ${publicUrl}
has just been changed.

If it was not you, set a new one at once:

${curl(`${publicUrl}/api/v1/auth/password/forgot`, { email })}
`,
  }),
} satisfies Record<string, (words: MailWords) => { subject: string; text: string }>;
