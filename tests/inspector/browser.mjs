// A page of the inspector in headless Chromium, and what must hold in each state of it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

export const equal = (found, wanted, what) => {
    const [left, right] = [found, wanted].map(it => JSON.stringify(it));
    if (left !== right) throw new Error(`${what}: ${left?.slice(0, 500)} is not ${right?.slice(0, 500)}`);
};
export const holds = (fact, what) => {
    if (!fact) throw new Error(what);
};

export class Browser {
    /** `modules` is where playwright-core and axe-core are. */
    static async start({ modules, chromium, shots }) {
        const require = createRequire(join(modules, 'x.js'));
        const it = new Browser();
        it.axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
        it.shots = shots;
        const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
        it.browser = await require('playwright-core').chromium.launch({ executablePath: chromium, args });
        return it;
    }

    stop() {
        return this.browser.close();
    }

    /** A page in a profile of its own. */
    async page(url, { width = 1280, scheme = 'light', prepare, reducedMotion } = {}) {
        const context = await this.browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, reducedMotion });
        const page = await context.newPage();
        page.wrong = [];
        page.on('pageerror', error => page.wrong.push(`error: ${error.stack}`));
        page.on('dialog', dialog => {
            page.wrong.push(`dialog: ${dialog.message()}`);
            dialog.dismiss();
        });
        page.on('console', message => {
            // A status that is not 200 is no fault of the page.
            if (message.type() === 'error' && !/^Failed to load resource/.test(message.text())) page.wrong.push(message.text());
        });
        await context.exposeBinding('report', (_, text) => page.wrong.push(`policy: ${text}`));
        await page.addInitScript(() => {
            addEventListener('securitypolicyviolation', event => globalThis.report(`${event.violatedDirective} ${event.blockedURI}`));
        });
        page.asked = [];
        page.on('request', request => page.asked.push(request));
        await prepare?.(page);
        await page.goto(url);
        return page;
    }

    /** Nothing ran, nothing was blocked, nothing was asked of others, and nobody is kept out. */
    async check(page, name) {
        await this.audit(page, name);
        if (this.shots) await page.screenshot({ path: join(this.shots, `${name.replaceAll(/[^a-z0-9]+/gi, '-')}.png`), fullPage: true });
        equal(page.wrong, [], `${name}: what went wrong`);
        equal(await page.evaluate(() => typeof globalThis.ran), 'undefined', `${name}: a state ran`);
        equal(await page.evaluate(() => ({}).polluted ?? null), null, `${name}: a prototype was changed`);
        equal(await page.evaluate(() => document.querySelectorAll('img, iframe, object, embed, script:not([type=module])').length), 0, `${name}: foreign elements`);
        const origin = new URL(page.url()).origin;
        equal(page.asked.map(it => it.url()).filter(it => !it.startsWith(origin)), [], `${name}: requests elsewhere`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        holds(wide <= 0, `${name}: the page is ${wide} pixels too wide`);
    }

    async audit(page, name) {
        await page.evaluate(this.axe);
        const found = await page.evaluate(async () => {
            const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] });
            return violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => `${node.html.slice(0, 200)} ${node.failureSummary}`).join('; ')}`);
        });
        equal(found, [], `${name}: accessibility`);
    }
}

/** The text of an element, once it has what is looked for. */
export async function shows(page, selector, pattern) {
    const found = page.locator(selector).filter({ hasText: pattern }).first();
    await found.waitFor({ state: 'visible', timeout: 20_000 }).catch(async () => {
        const text = await page.locator(selector).allTextContents();
        throw new Error(`${selector} does not show ${pattern}, but ${JSON.stringify(text).slice(0, 500)}`);
    });
    return found.textContent();
}

/** Enters a key as a person does. */
export async function enter(page, key) {
    if (!await page.locator('#key').isVisible()) await page.click('#access-summary');
    await page.fill('#key', key);
    await page.press('#key', 'Enter');
}
