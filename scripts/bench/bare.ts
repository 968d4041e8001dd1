// The floor: node:http answering one constant to everything.
//
//   PORT=… node scripts/bench/bare.ts

import { createServer } from 'node:http';

const body = '{"status":"ok"}';
const headers = { 'content-type': 'application/json', 'content-length': String(body.length) };

const server = createServer((request, response) => {
  request.resume();
  response.writeHead(200, headers);
  response.end(body);
});
server.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
