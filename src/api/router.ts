import type { Config } from '../core/config.ts';
import type { Route } from '../http/route.ts';
import type { App } from './deps.ts';
import { accountRoutes } from './routes/account.ts';
import { adminRoutes } from './routes/admin.ts';
import { authRoutes } from './routes/auth.ts';
import { jobRoutes } from './routes/jobs.ts';
import { publicRoutes } from './routes/public.ts';
import { systemRoutes } from './routes/system.ts';
import { userRoutes } from './routes/users.ts';

/** The whole API surface. */
export const apiRoutes = (config: Config): Route<App>[] => [
  ...authRoutes(config),
  ...accountRoutes(config),
  ...userRoutes,
  ...adminRoutes,
  ...jobRoutes,
  ...publicRoutes,
  ...systemRoutes(config),
];
