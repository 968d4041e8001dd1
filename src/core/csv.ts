/** What spreadsheets take for the start of a formula (OWASP, "CSV Injection"), the full-width forms included. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;
const NEEDS_QUOTES = /[",\r\n]/;

/**
 * One record of RFC 4180, its line end included. `null` is an empty cell; one that a spreadsheet would calculate gets
 * an apostrophe before it.
 */
export const csvRecord = (cells: readonly (string | boolean | null)[]): string => `${cells.map(toCell).join(',')}\r\n`;

function toCell(value: string | boolean | null): string {
  const text = String(value ?? '');
  const inert = FORMULA.test(text) ? `'${text}` : text;
  return NEEDS_QUOTES.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
}
