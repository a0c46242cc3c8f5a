// Runs the checks of checks.mjs: `scripts/test-inspector` prepares what they need.
//
//     node main.mjs --server PROGRAM --modules NODE_MODULES --chromium PROGRAM [--shots FOLDER] [NAME...]
import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { Browser } from './browser.mjs';
import * as checks from './checks.mjs';
import { Server } from './server.mjs';

const text = { type: 'string' };
const { values, positionals } = parseArgs({
    options: { server: text, modules: text, chromium: text, shots: text }, allowPositionals: true,
});
if (values.shots) mkdirSync(values.shots, { recursive: true });
const server = await Server.start(values.server);
const browser = await Browser.start(values);
let passed = 0, failed = 0, leftOut = 0;
for (const [name, check] of Object.entries(checks)) {
    if (positionals.length && !positionals.some(part => name.includes(part))) {
        leftOut += 1;
        continue;
    }
    const begun = performance.now();
    try {
        const said = await check(browser, server);
        passed += 1;
        console.log(`test ${name} ... ok (${((performance.now() - begun) / 1000).toFixed(1)} s)${said ? `: ${said}` : ''}`);
    } catch (error) {
        failed += 1;
        console.log(`test ${name} ... FAILED\n${error.stack}`);
    }
}
await browser.stop();
await server.stop();
console.log(`\ntest result: ${failed ? 'FAILED' : 'ok'}. ${passed} passed; ${failed} failed; ${leftOut} filtered out`);
process.exit(failed ? 1 : 0);
