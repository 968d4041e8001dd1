// Stops an npm script with one sentence when Node is too old for it. Old JavaScript on purpose: Node 12 must run it.
//
//   node scripts/require_node.cjs NAME     NAME is the npm script that goes on when this exits with 0
//
// A command that is run without npm imports it first.
'use strict';

var path = require('path');

var lowest = /\d+(\.\d+)*/.exec(require('../package.json').engines.node)[0];
var needed = lowest.split('.').map(Number);
var running = process.versions.node.split('.').map(Number);

var difference = 0;
for (var i = 0; i < needed.length && difference === 0; i++) difference = running[i] - needed[i];

if (difference < 0) {
  var name = process.argv[2];
  var command = 'npx -y -p node@' + needed[0] + ' npm run ' + name;
  if (name === 'start') command = 'npx -y node@' + needed[0] + ' src/main.ts';
  if (name === 'test') command = 'npx -y -p node@' + needed[0] + ' npm test';
  if (require.main !== module) command = 'npx -y node@' + needed[0] + ' ' + path.relative('', process.argv[1]);
  console.error(
    'This needs Node ' + lowest + ' or newer and runs on ' + process.versions.node + ' here; use: ' + command,
  );
  process.exit(1);
}
