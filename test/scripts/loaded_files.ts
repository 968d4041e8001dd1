// With `--import`: notes the URL of each module that a thread of the program loads, a line each, in $LOADED_FILES.
import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

registerHooks({
  load(url, context, next) {
    appendFileSync(process.env['LOADED_FILES']!, `${url}\n`);
    return next(url, context);
  },
});
