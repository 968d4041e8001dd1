/**
 * What a visitor of /docs does, as a script for `Page.evaluate`: `fill`, `buttonIn`, `until`; `tryOut(id, values)`
 * opens the form of an operation, fills it in, sends it and gives the status it shows; `logIn(email, password, button)`
 * gives `who|fault` as the page shows them.
 */
export const VISITOR = `
  const $ = (selector) => document.querySelector(selector);
  const $$ = (selector) => [...document.querySelectorAll(selector)];
  const fill = (control, value) => {
    control.value = value;
    control.dispatchEvent(new Event('input', { bubbles: true }));
  };
  const until = async (ready) => {
    for (const end = Date.now() + 60000; !ready(); await new Promise((next) => setTimeout(next, 10))) {
      if (Date.now() > end) throw new Error('Never true: ' + ready);
    }
    return ready();
  };
  const buttonIn = (card, text) => [...card.querySelectorAll('button')].find((one) => one.textContent === text);
  const tryOut = async (id, values = {}) => {
    const card = document.getElementById(id);
    if (!card.querySelector('form')?.checkVisibility()) buttonIn(card, 'Try').click();
    for (const control of card.querySelectorAll('form [name]')) {
      if (control.name in values) fill(control, values[control.name]);
      else if (control.value === '' && control.getAttribute('aria-required') === 'true') fill(control, 'something');
    }
    card.querySelector('.result > div').replaceChildren();
    buttonIn(card, 'Send').click();
    const line = await until(() => card.querySelector('.result .status, .result .fault, .field.wrong'));
    return line.textContent;
  };
  const logIn = async (email, password, button = 'Log in') => {
    $('#account-login').open = true;
    fill($('#account-email'), email);
    fill($('#account-password'), password);
    buttonIn($('#account-form'), button).click();
    await until(() => $('#account-who.in') || $('#account-fault').textContent);
    return $('#account-who').textContent + '|' + $('#account-fault').textContent;
  };
  Object.assign(globalThis, { $, $$, fill, until, buttonIn, tryOut, logIn }) && true;
`;
