import { announce, byId } from './dom.js';
import { claimsOf } from './session.js';

/** The account panel of page.html, brought to life. Returns what draws it after a change. */
export function createAccount(session, routes) {
  const who = byId('account-who');
  const tokenField = byId('account-token');
  const form = byId('account-form');
  const fault = byId('account-fault');
  const logOutButton = byId('account-logout');
  const [email, password] = [byId('account-email'), byId('account-password')];
  byId('account-register').hidden = routes.register === undefined;

  tokenField.addEventListener('input', () => session.paste(tokenField.value));
  logOutButton.addEventListener('click', () => {
    void session.logOut();
    announce('Logged out');
    tokenField.focus();
  });
  byId('account-register').addEventListener('click', () => void enter(session.register));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void enter(session.logIn);
  });

  async function enter(verb) {
    fault.textContent = '';
    if (email.value === '' || password.value === '') {
      fault.textContent = 'Both an e-mail address and a password are needed.';
      return (email.value === '' ? email : password).focus();
    }
    form.setAttribute('aria-busy', 'true');
    try {
      await verb(email.value, password.value);
      password.value = '';
      announce(`Logged in as ${email.value}`);
      logOutButton.focus();
    } catch (error) {
      fault.textContent = error.message;
    }
    form.removeAttribute('aria-busy');
  }

  /** Two lines: who, and how long. */
  function inWords({ access, refresh, email: address, until, ended }) {
    if (ended) return ['The session has ended', ''];
    if (!access) return ['Not logged in', ''];
    const claims = claimsOf(access);
    const name = address || (refresh ? 'Logged in' : 'With a pasted token');
    const role = claims?.role ? `${claims.role} · ` : '';
    if (claims === undefined && !refresh) return [name, 'Not the form of an access token; sent as it stands.'];
    if (until === undefined) return [name, String(claims?.role ?? '')];
    const time = new Date(until).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    if (refresh) return [name, `${role}renews itself before ${time}`];
    return [name, `${role}${until > Date.now() ? 'good until' : 'expired at'} ${time}`];
  }

  return function draw() {
    const { state } = session;
    [who.textContent, byId('account-until').textContent] = inWords(state);
    who.classList.toggle('in', state.access !== '');
    if (document.activeElement !== tokenField) tokenField.value = state.access;
    byId('account-session').hidden = state.access === '';
    byId('account-login').hidden = routes.login === undefined || state.refresh !== '';
  };
}
