const NOBODY = { access: '', refresh: '', email: '', until: undefined };
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Who is logged in, in memory only. `routes` are the paths that the API has of `login`, `register`, `refresh` and
 * `logout`; `post` sends JSON to one (see `send`); `changed` is called after every change. Access tokens are renewed
 * at four fifths of their life while the page is looked at, before a request that would come too late, or when refused.
 */
export function createSession({ routes, post, changed }) {
  let state = NOBODY;
  let timer;
  let renewing;

  function become(next) {
    state = next;
    clearTimeout(timer);
    if (state.refresh && state.until !== undefined) {
      const wait = Math.max(1000, (state.until - Date.now()) * 0.8);
      timer = setTimeout(() => void (document.hidden || renew()), Math.min(wait, LONGEST_TIMER_MS));
    }
    changed();
  }

  /** Takes over a pair of tokens. */
  function adopt(pair, email = state.email) {
    const until = Date.now() + (pair.expires_in ?? 900) * 1000;
    become({ access: pair.access_token, refresh: pair.refresh_token ?? '', email, until });
  }

  async function logIn(email, password) {
    adopt(await granted(routes.login, { email, password }), email);
  }

  async function register(email, password) {
    await granted(routes.register, { email, password });
    await logIn(email, password);
  }

  async function logOut() {
    const { refresh } = state;
    become(NOBODY);
    if (refresh && routes.logout) await post(routes.logout, { refresh_token: refresh }).catch(() => {});
  }

  /** A token from elsewhere: it cannot be renewed. */
  function paste(text) {
    const access = text.trim().replace(/^Bearer\s+/i, '').replace(/^"(.*)"$/, '$1');
    const expiry = claimsOf(access)?.exp;
    become({ ...NOBODY, access, until: typeof expiry === 'number' ? expiry * 1000 : undefined });
  }

  async function granted(route, body) {
    const answer = await post(route, body);
    if (answer.status < 300) return answer.json ?? {};
    const faults = answer.json?.errors?.map(({ pointer, detail }) => `${pointer.slice(1)} ${detail}`).join('; ');
    const wait = answer.headers.get('Retry-After');
    if (wait) throw new Error(`${answer.json?.title ?? answer.status}: try again in ${wait} seconds.`);
    throw new Error(faults || answer.json?.detail || `The server answered ${answer.status}.`);
  }

  /** One renewal at a time. False when there is nothing to renew, or the session has ended. */
  function renew() {
    if (!state.refresh || !routes.refresh) return Promise.resolve(false);
    renewing ??= renewOnce(state.refresh).finally(() => void (renewing = undefined));
    return renewing;
  }

  async function renewOnce(refresh) {
    const answer = await post(routes.refresh, { refresh_token: refresh }).catch(() => undefined);
    if (state.refresh !== refresh) return state.access !== '';
    if (answer?.status === 200 && answer.json?.access_token) adopt(answer.json);
    else if (answer?.status === 401) become({ ...NOBODY, ended: true });
    return answer?.status === 200;
  }

  return {
    logIn,
    register,
    logOut,
    paste,
    adopt,
    renew,
    get state() {
      return state;
    },
    /** The access token, renewed first when it is about to expire. */
    async token() {
      if (state.refresh && state.until - Date.now() < 5000) await renew();
      return state.access;
    },
  };
}

/** What an access token says, unverified and as Latin-1; undefined when it is none. */
export function claimsOf(token) {
  try {
    const claims = JSON.parse(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')));
    return typeof claims === 'object' && claims !== null ? claims : undefined;
  } catch {
    return undefined;
  }
}
