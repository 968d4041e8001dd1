/** A part of an address between two dots, before and behind the `@`. */
export const ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
export const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?';

/**
 * The form check of `<input type=email>` (WHATWG HTML, "valid e-mail address"), narrowed: the domain has a dot, and
 * no label on either side of the `@` is empty. ASCII only.
 */
export const EMAIL = `^${ATOM}(?:\\.${ATOM})*@${LABEL}(?:\\.${LABEL})+$`;
export const EMAIL_MAX_LENGTH = 254;

const form = new RegExp(EMAIL);

export const isEmail = (text: string): boolean => text.length <= EMAIL_MAX_LENGTH && form.test(text);

/** What makes two addresses the same account: they are compared without case. */
export const emailKey = (email: string): string => email.toLowerCase();
