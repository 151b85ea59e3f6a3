// Opens a page in headless Chromium as a person would, and looks for what is wrong with it:
//
//   node main.js PAGE DIRECTORY
//
// It runs every rule of axe-core in light, dark and print, wide and narrow, and fails for
// a violation, for what the console says, for requests, and for a page that is wider than
// its window. Pictures and a PDF are left in the directory. It asks no network.
'use strict';
const { spawn } = require('node:child_process');
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { basename, join, resolve } = require('node:path');
const { pathToFileURL } = require('node:url');

const [page, directory] = process.argv.slice(2);
const name = basename(page, '.html');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const views = [
  { name: 'light', scheme: 'light', width: 1280 },
  { name: 'dark', scheme: 'dark', width: 1280 },
  { name: 'light-narrow', scheme: 'light', width: 360 },
  { name: 'dark-narrow', scheme: 'dark', width: 360 },
  { name: 'print', scheme: 'dark', media: 'print', width: 794 },
];
const problems = [];
const home = mkdtempSync(join(tmpdir(), 'chromium-'));
// The sandbox needs what a container or root lacks. The page is ours, and runs no script.
const browser = spawn('chromium', ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
  '--no-first-run', '--disable-extensions', '--disable-background-networking', '--disable-component-update', '--proxy-server=127.0.0.1:1',
  `--user-data-dir=${home}`, '--remote-debugging-pipe', 'about:blank'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], env: { ...process.env, HOME: home } });

// The DevTools protocol: JSON messages that end in a zero byte.
const waiting = new Map();
const listeners = [];
let last = 0;
let rest = Buffer.alloc(0);
browser.on('error', (err) => { console.error(`axe: ${err.message}`); process.exit(2); });
browser.stdio[4].on('data', (data) => {
  rest = Buffer.concat([rest, data]);
  for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
    const message = JSON.parse(rest.subarray(0, end).toString('utf8'));
    rest = rest.subarray(end + 1);
    const call = waiting.get(message.id);
    waiting.delete(message.id);
    if (call && message.error) call.reject(new Error(`${call.method}: ${message.error.message}`));
    else if (call) call.resolve(message.result);
    else listeners.forEach((listen) => listen(message));
  }
});
function call(method, params = {}, sessionId = undefined) {
  return new Promise((resolve, reject) => {
    last += 1;
    waiting.set(last, { method, resolve, reject });
    browser.stdio[3].write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
  });
}
function event(method) {
  return new Promise((resolve) => {
    listeners.push(function listen(message) {
      if (message.method !== method) return;
      listeners.splice(listeners.indexOf(listen), 1);
      resolve(message.params);
    });
  });
}

async function look() {
  const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  const tab = (method, params) => call(method, params, sessionId);
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await tab('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  const url = pathToFileURL(resolve(page)).href;
  let view = { name: 'loading' };
  listeners.push(({ method, params }) => {
    if (method === 'Log.entryAdded') problems.push(`${view.name}: the console says: ${params.entry.text}`);
    if (method === 'Network.requestWillBeSent' && params.request.url !== url) problems.push(`${view.name}: asks for ${params.request.url}`);
    if (method === 'Page.javascriptDialogOpening') problems.push(`${view.name}: opens a dialog`);
  });
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await tab(`${domain}.enable`);
  const loaded = event('Page.loadEventFired');
  await tab('Page.navigate', { url });
  await loaded;
  await evaluate(`${axe}; undefined`);
  for (view of views) {
    await tab('Emulation.setEmulatedMedia', { media: view.media ?? '', features: [{ name: 'prefers-color-scheme', value: view.scheme }] });
    await tab('Emulation.setDeviceMetricsOverride', { width: view.width, height: 900, deviceScaleFactor: 1, mobile: view.width < 500 });
    const violations = await evaluate(`(async () => {
      const rules = Object.fromEntries(axe.getRules().map(({ ruleId, tags }) => [ruleId, { enabled: !tags.includes('deprecated') }]));
      const { violations } = await axe.run(document, { rules, resultTypes: ['violations'] });
      return violations.flatMap(({ id, help, nodes }) => nodes.slice(0, 5).map((n) => id + ': ' + help + ': ' + n.html.slice(0, 200) + ' ' + n.failureSummary.split('\\n')[1]));
    })()`);
    violations.forEach((v) => problems.push(`${view.name}: ${v}`));
    const over = await evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
    if (over > 0) problems.push(`${view.name}: it is ${over} pixels wider than its window`);
    if (!view.media) {
      const { data } = await tab('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
      writeFileSync(join(directory, `${name}-${view.name}.png`), data, 'base64');
    }
  }
  const { data } = await tab('Page.printToPDF', { printBackground: true, preferCSSPageSize: true });
  writeFileSync(join(directory, `${name}-print.pdf`), data, 'base64');
}

look().catch((err) => problems.push(err.stack)).finally(() => {
  browser.on('close', () => {
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    problems.forEach((p) => console.error(`axe: ${p}`));
    process.exit(problems.length ? 1 : 0);
  });
  browser.kill();
});
