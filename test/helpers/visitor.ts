/**
 * What a visitor of /docs does, as a script for `Page.evaluate`: `fill`, `buttonIn`, `until`; `tryOut(id, values)`
 * opens the form of an operation, fills it in, sends it and gives the status it shows; `logIn(email, password, button)`
 * gives `who|fault` as the page shows them; `faint()` lists the texts in sight, as they are drawn, whose contrast is
 * below 4.5 to 1 (WCAG 2.2), but for what is switched off.
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
  const rgba = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    const [r, g, b, alpha = 1] = rgba(getComputedStyle(element).backgroundColor);
    return alpha === 0 ? behind(element.parentElement) : alpha === 1 ? [r, g, b] : [NaN];
  };
  const opacityOf = (element) =>
    element === null ? 1 : Number(getComputedStyle(element).opacity) * opacityOf(element.parentElement);
  const luminance = (rgb) => {
    const linear = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (element, pseudo) => {
    const back = behind(element);
    const opacity = opacityOf(element);
    const colour = rgba(getComputedStyle(element, pseudo).color);
    const front = back.map((c, i) => colour[i] * opacity + c * (1 - opacity));
    const [dim, bright] = [luminance(front), luminance(back)].sort((a, b) => a - b);
    return (bright + 0.05) / (dim + 0.05);
  };
  const faint = () => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const drawn = $$('input, select, textarea').flatMap((one) => [[one], [one, '::placeholder']]);
    while (texts.nextNode()) if (texts.currentNode.data.trim()) drawn.push([texts.currentNode.parentElement]);
    return drawn
      .filter(([element]) => element.checkVisibility() && !element.closest(':disabled, [inert], [aria-disabled=true]'))
      .filter(([element, pseudo]) => !(contrast(element, pseudo) >= 4.5))
      .map(([element, pseudo]) => element.outerHTML.slice(0, 80) + ' ' + contrast(element, pseudo).toFixed(2));
  };
  Object.assign(globalThis, { $, $$, fill, until, buttonIn, tryOut, logIn, faint }) && true;
`;
