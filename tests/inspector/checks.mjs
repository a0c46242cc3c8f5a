// What the inspector must do, each check on pages of its own. They run one after the other.
import { enter, equal, holds, shows } from './browser.mjs';

const LOOKS = [1280, 360].flatMap(width => ['light', 'dark'].map(scheme => ({ width, scheme })));
const thing = (id, more) => ({ kind: 'thing', id, ...more });

/** Checks a state of the page in each look. `reach` waits until the page is in it. */
async function eachLook(browser, name, url, reach, more = {}) {
    for (const look of LOOKS) {
        const page = await browser.page(url, { ...look, ...more });
        await reach(page);
        await browser.check(page, `${name} ${look.scheme} ${look.width}`);
        await page.context().close();
    }
}
const state = page => shows(page, '#tree', /name/);

/** The JSON that the page would copy, without white space. */
async function copied(page) {
    const text = await page.evaluate(() => new Promise(resolve => {
        navigator.clipboard.writeText = async text => resolve(text);
        document.getElementById('copy').click();
    }));
    return text.replaceAll(/\n */g, '').replaceAll('": ', '":');
}

export async function an_empty_project_says_how_to_go_on(browser, server) {
    await eachLook(browser, 'empty', server.page({ project: 'nobody' }), page => shows(page, '#found-note', /No aggregate here/));
}

export async function the_first_page_lists_aggregates_and_shows_more(browser, server) {
    await eachLook(browser, 'welcome', server.page(), page => shows(page, '#found-note', /The first 50/));
    const page = await browser.page(server.page());
    await shows(page, '#found-note', /The first 50/);
    await page.click('#found-more');
    const count = parseInt(await shows(page, '#found-note', /^7\d aggregates/), 10);
    equal(await page.locator('#found li').count(), count, 'aggregates');
    await page.fill('#kind', 'nothing');
    await page.click('#list');
    await shows(page, '#problem, #found-note', /No aggregate|There is no such/);
    await page.context().close();
}

export async function an_aggregate_shows_its_state_and_timeline(browser, server) {
    await eachLook(browser, 'orders', server.page(thing('orders')), state);
    await eachLook(browser, 'orders changes', server.page(thing('orders', { version: 24, compare: 12, view: 'changes' })),
        page => shows(page, '#changes-note', /changes? from version 12 to version 24/));
    await eachLook(browser, 'orders snapshots', server.page(thing('orders', { view: 'snapshots' })), page => shows(page, '#stored', /quarter/));
    const page = await browser.page(server.page(thing('orders', { view: 'changes', version: 1 })));
    await shows(page, '#changes-note', /from the state before the first event to version 1/);
    await page.context().close();
}

export async function one_event_is_a_whole_history(browser, server) {
    await eachLook(browser, 'one event', server.page(thing('one event')), state);
    const page = await browser.page(server.page(thing('one event')));
    await shows(page, '#head', /^1 version$/);
    holds(await page.locator('#slider').isDisabled(), 'there is nothing to slide');
    await page.context().close();
}

export async function a_hundred_thousand_events_stay_fast(browser, server) {
    await eachLook(browser, 'many events', server.page(thing('many events')), state);
    const page = await browser.page(server.page(thing('many events')));
    await shows(page, '#head', /^100,000 versions$/);
    await state(page);
    holds(page.asked.length < 12, `${page.asked.length} requests`);
    await page.fill('#version', '77777');
    await page.press('#version', 'Enter');
    await shows(page, '#say', /^Version 77,777 of 100,000/);
    equal(await copied(page), await server.text('projects/~/entities/thing/~bWFueSBldmVudHM/versions/77777'), 'the state');
    await page.context().close();
}

export async function a_damaged_snapshot_is_told(browser, server) {
    await eachLook(browser, 'damaged', server.page(thing('damaged', { version: 12 }), 'guarded'), async page => {
        await enter(page, server.keys.all);
        await shows(page, '#where', /was not used: it is damaged/);
    });
}

export async function the_source_of_a_state_is_shown_to_those_who_may_see_it(browser, server) {
    const page = await browser.page(server.page(thing('no snapshots', { version: 4 }), 'guarded'));
    await enter(page, server.keys.all);
    await shows(page, '#where', /all 4 events, without a snapshot/);
    await page.goto(server.page(thing('orders', { version: 18 }), 'guarded'));
    await shows(page, '#where', /the snapshot at version 16 and 2 events/);
    await enter(page, server.keys.reader);
    await shows(page, '#where', /keys that may diagnose/);
    await page.context().close();
}

export async function hostile_states_are_only_text(browser, server) {
    const name = '<b onclick=alert(1)>\u202e"\'&#x26;/../~%2F';
    for (const [look, place] of [['state', thing('hostile')], ['changes', thing('hostile', { view: 'changes', compare: 0 })], ['id', thing(name)]]) {
        await eachLook(browser, `hostile ${look}`, server.page(place), page => shows(page, look === 'changes' ? '#changes-note' : '#tree', /change|name/));
    }
    const page = await browser.page(server.page(thing('hostile')));
    await state(page);
    await page.click('#expand');
    await shows(page, '#tree', /<img src=x onerror=alert\(1\)>/);
    await shows(page, '#tree', /__proto__: "polluted"/);
    await shows(page, '#tree', /\\u202etxt\.exe/);
    equal(await copied(page), await server.text('projects/~/entities/thing/hostile'), 'the state');
    await page.context().close();
}

export async function what_no_engine_writes_is_only_text_too(browser, server) {
    const deep = '['.repeat(3000) + ']'.repeat(3000);
    const odd = `{"lone":"\\ud800","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"deep":${deep},"big":12345678901234567890.5e-400,"minus":-0,"10":1,"9":[{}]}`;
    const page = await browser.page(server.page(thing('orders')), {
        prepare: page => page.route('**/entities/thing/orders', async route => {
            if (route.request().method() === 'HEAD') return route.continue();
            const body = `{"data":{"attributes":{"state":${odd}}},"meta":{"version":48,"asOf":"</script><img src=x onerror=globalThis.ran=1>"}}`;
            return route.fulfill({ body, contentType: 'application/vnd.api+json', headers: { 'server-timing': 'fetch;dur=<img src=x>;desc="3 events"' } });
        }),
    });
    await shows(page, '#tree', /lone: "\\ud800"/);
    await shows(page, '#tree', /12345678901234567890\.5e-400/);
    await shows(page, '#tree', /minus: -0/);
    await browser.check(page, 'odd');
    await page.context().close();
}

export async function large_states_are_shown_in_parts(browser, server) {
    await eachLook(browser, 'long text', server.page(thing('long text')), page => shows(page, '#tree', /has more than 8\.4 MB/));
    const page = await browser.page(server.page(thing('long text')));
    await shows(page, '#tree', /has more than 8\.4 MB/);
    await page.click('text=Load it all');
    await shows(page, '#tree', /10,485,760 characters/);
    await page.locator('[role=treeitem]', { hasText: '10,485,760' }).last().click();
    await shows(page, '#tree', /Show 100 more of 5,143/);
    holds(await page.locator('[role=treeitem]').count() < 200, 'the whole text is there');
    await browser.check(page, 'long text loaded');
    await page.goto(server.page(thing('wide')));
    await shows(page, '#tree', /20,000 members/);
    await page.locator('[role=treeitem]', { hasText: '20,000 members' }).last().click();
    await page.click('text=Show 100 more of 19,900');
    await shows(page, '#tree', /member 00199/);
    holds(await page.locator('[role=treeitem]').count() < 300, 'all members are there');
    await browser.check(page, 'wide');
    await page.context().close();
}

export async function who_may_not_read_is_told_what_to_do(browser, server) {
    await eachLook(browser, 'no key', server.page(thing('orders'), 'guarded'), page => shows(page, '#problem', /Enter your API key/));
    await eachLook(browser, 'other key', server.page(thing('orders'), 'guarded'), async page => {
        await enter(page, server.keys.elsewhere);
        await shows(page, '#problem', /do not allow this/);
    });
    const page = await browser.page(server.page(thing('orders'), 'guarded'));
    await page.click('text=Enter a key');
    await browser.check(page, 'key form');
    await page.keyboard.type('schl\u00fcssel');
    await page.keyboard.press('Enter');
    equal(await page.locator('#key').evaluate(it => it.validity.valid), false, 'a key that no header can hold');
    await enter(page, 'snf_wrong');
    await shows(page, '#problem', /wrong, expired or revoked/);
    await enter(page, server.keys.reader);
    await state(page);
    holds(await page.locator('#problem').isHidden(), 'the problem is gone');
    await page.context().close();
}

export async function a_key_stays_out_of_links_and_storage(browser, server) {
    const page = await browser.page(server.page(thing('orders'), 'guarded'));
    const stored = () => page.evaluate(() => JSON.stringify([location.href, { ...localStorage }, { ...sessionStorage }, document.cookie]));
    await enter(page, server.keys.reader);
    await state(page);
    holds(!(await stored()).includes(server.keys.reader), 'the key is stored');
    holds(page.asked.every(it => !it.url().includes(server.keys.reader)), 'the key is in a URL');
    const sent = await Promise.all(page.asked.map(it => it.headerValue('authorization')));
    holds(sent.includes(`Bearer ${server.keys.reader}`), 'the key is in a header');
    await page.click('#access-summary');
    await page.check('#keep');
    await enter(page, server.keys.reader);
    await state(page);
    await page.reload();
    await state(page);
    await page.click('#access-summary');
    await page.click('#forget');
    await shows(page, '#problem', /Enter your API key/);
    holds(!(await stored()).includes(server.keys.reader), 'the key is forgotten');
    await page.context().close();
}

export async function a_plan_shows_what_retention_would_drop(browser, server) {
    await eachLook(browser, 'plan', server.page(thing('orders', { view: 'snapshots' }), 'guarded'), async page => {
        await enter(page, server.keys.all);
        await shows(page, '#stored', /quarter/);
        await page.click('text=Show what it would drop');
        await shows(page, '#plan-note', /would keep \d+ snapshots and drop \d+ .*Nothing was deleted/);
        await shows(page, '#legend', /would be dropped/);
    });
    const before = await server.text('projects/~/entities/thing/orders/snapshots');
    const page = await browser.page(server.page(thing('orders', { view: 'snapshots' }), 'guarded'));
    await enter(page, server.keys.all);
    await shows(page, '#stored', /quarter/);
    await page.fill('#policy', 'frog 4');
    await page.press('#policy', 'Enter');
    await shows(page, '#plan-note', /^No plan/);
    await enter(page, server.keys.reader);
    await shows(page, '#stored', /quarter/);
    await page.press('#policy', 'Enter');
    await shows(page, '#plan-note', /need a key with the permission/);
    equal(await server.text('projects/~/entities/thing/orders/snapshots'), before, 'the snapshots');
    await page.context().close();
}

export async function what_does_not_exist_is_told(browser, server) {
    for (const [name, place, pattern] of [
        ['nobody', thing('nobody'), /No event of this aggregate/],
        ['beyond head', thing('orders', { version: 999 }), /does not exist yet/],
        ['too early', thing('orders', { at: '1999-01-01T00:00:00Z' }), /No event of this aggregate is stored for this point/],
        ['bad link', thing('orders', { version: 'frog' }), /A part of this link is not understood/],
    ]) await eachLook(browser, name, server.page(place), page => shows(page, '#problem', pattern));
}

export async function a_time_leads_to_its_version(browser, server) {
    const page = await browser.page(server.page(thing('orders')));
    await state(page);
    await page.fill('#at', '2023-11-15T00:00:00');
    await page.press('#at', 'Enter');
    await shows(page, '#say', /^Version 2 of 48, recorded 2023-11-14 23:13:20 UTC/);
    equal(new URLSearchParams(new URL(page.url()).hash.slice(1)).get('at'), '2023-11-15T00:00:00Z', 'the time in the link');
    const shared = await browser.page(page.url());
    await shows(shared, '#say', /^Version 2 of 48/);
    await page.context().close();
    await shared.context().close();
}

export async function the_slider_shows_what_the_api_says(browser, server) {
    const page = await browser.page(server.page(thing('orders')));
    await state(page);
    await page.focus('#slider');
    for (const [press, version] of [['ArrowLeft', 47], ['Home', 1], ['ArrowRight', 2], ['End', 48], ['ArrowLeft', 47], ['ArrowLeft', 46]]) {
        await page.keyboard.press(press);
        await shows(page, '#say', new RegExp(`^Version ${version} of 48`));
        equal(await copied(page), await server.text(`projects/~/entities/thing/orders/versions/${version}`), `version ${version}`);
        await page.focus('#slider');
    }
    const svg = await page.locator('#timeline').boundingBox();
    await page.mouse.click(svg.x + svg.width / 2, svg.y + svg.height / 2);
    await shows(page, '#say', /^Version 2[45] of 48/);
    await page.context().close();
}

export async function requests_that_are_out_of_date_are_given_up(browser, server) {
    let waiting;
    const page = await browser.page(server.page(thing('orders')), {
        // The answer for version 5 comes after the one for version 40.
        prepare: page => page.route('**/versions/5', route => new Promise(resolve => { waiting = () => resolve(route.continue().catch(() => {})); })),
    });
    await state(page);
    const slide = version => page.locator('#slider').evaluate((it, version) => {
        it.value = version;
        it.dispatchEvent(new Event('input'));
    }, version);
    await slide(5);
    await page.waitForRequest('**/versions/5');
    page.asked.length = 0;
    for (let version = 6; version <= 40; version++) await slide(version);
    await shows(page, '#say', /^Version 40 of 48/);
    waiting();
    await page.evaluate(() => new Promise(resolve => setTimeout(resolve, 100)));
    await shows(page, '#say', /^Version 40 of 48/);
    const states = page.asked.filter(it => /versions\/\d+$/.test(it.url()));
    holds(states.length < 10, `${states.length} of 35 positions were loaded`);
    await page.context().close();
}

export async function back_goes_back(browser, server) {
    const page = await browser.page(server.page());
    await page.click('#found button:has-text("orders")');
    await shows(page, '#say', /^Version 48 of 48/);
    await page.click('#first');
    await shows(page, '#say', /^Version 1 of 48/);
    await page.click('#tab-changes');
    await shows(page, '#changes-note', /version 1$/);
    await page.click('#found button:has-text("one event")');
    await shows(page, '#say', /^Version 1 of 1/);
    await page.goBack();
    await shows(page, '#changes-note', /version 1$/);
    await shows(page, '#say', /^Version 1 of 48/);
    await page.goBack();
    await page.goBack();
    await shows(page, '#say', /^Version 48 of 48/);
    await page.goBack();
    await shows(page, '#welcome', /at any time/);
    equal(page.wrong, [], 'what went wrong');
    await page.context().close();
}

export async function everything_is_done_with_the_keyboard(browser, server) {
    const page = await browser.page(server.page());
    await shows(page, '#found-note', /The first 50/);
    const focused = () => page.evaluate(() => {
        const it = document.activeElement;
        const { outlineStyle, outlineWidth } = getComputedStyle(it);
        if (it === document.body) return {};
        return { id: it.id, role: it.role ?? it.getAttribute('role'), text: it.textContent.slice(0, 40), isSeen: outlineStyle !== 'none' && outlineWidth !== '0px' };
    });
    const tabTo = async (what, is) => {
        for (let i = 0; i < 90; i++) {
            await page.keyboard.press('Tab');
            const it = await focused();
            if (it.text) holds(it.isSeen, `the focus is not seen on ${JSON.stringify(it)}`);
            if (is(it)) return;
        }
        throw new Error(`Tab does not reach ${what}`);
    };
    await tabTo('orders', it => it.text === 'thingorders');
    await page.keyboard.press('Enter');
    await shows(page, '#say', /^Version 48 of 48/);
    equal((await focused()).id, 'main', 'the focus is on what was opened');
    await tabTo('the slider', it => it.id === 'slider');
    await page.keyboard.press('ArrowLeft');
    await shows(page, '#say', /^Version 47 of 48/);
    await tabTo('the tabs', it => it.id === 'tab-state');
    await page.keyboard.press('ArrowRight');
    await shows(page, '#changes-note', /from version 46 to version 47/);
    await page.keyboard.press('End');
    await shows(page, '#stored', /quarter/);
    await page.keyboard.press('Home');
    await tabTo('the tree', it => it.role === 'treeitem');
    for (const key of ['ArrowDown', 'ArrowDown', 'End', 'ArrowUp', 'ArrowLeft', 'ArrowLeft', 'Home', 'ArrowLeft']) await page.keyboard.press(key);
    equal(await page.locator('[role=treeitem]').count(), 1, 'rows of the closed tree');
    await page.keyboard.press('ArrowRight');
    equal(await page.locator('[role=treeitem]').count(), 9, 'rows of the open tree');
    equal(page.wrong, [], 'what went wrong');
    await page.context().close();
}

export async function the_focus_in_the_tree_stays_while_versions_change(browser, server) {
    const page = await browser.page(server.page(thing('orders')));
    await state(page);
    await page.locator('[role=treeitem]', { hasText: 'count' }).last().focus();
    await page.evaluate(() => { location.hash += '&version=40'; });
    await shows(page, '#say', /^Version 40 of 48/);
    holds((await page.evaluate(() => document.activeElement.textContent)).startsWith('count:'), 'the focus is on the same member');
    await page.context().close();
}

export async function new_versions_are_seen_without_a_stream(browser, server) {
    const page = await browser.page(server.page(thing('other 01')), { prepare: page => page.route('**/events', route => route.fulfill({ status: 404 })) });
    await shows(page, '#say', /^Version 1 of 1/);
    await shows(page, '#live', /Asks every 4 seconds/);
    await server.control('append', 'other 01');
    await shows(page, '#say', /^Version 2 of 2/);
    await shows(page, '#tree', /members: { added }/);
    await page.click('#first');
    await shows(page, '#say', /^Version 1 of 2/);
    await server.control('append', 'other 01');
    await shows(page, '#head', /^3 versions$/);
    await shows(page, '#say', /^Version 1 of 2/);
    equal(await page.inputValue('#version'), '1', 'the version that was chosen stays');
    await page.context().close();
}

export async function new_versions_are_seen_with_a_stream(browser, server) {
    let opened = 0;
    const ids = [];
    const page = await browser.page(server.page(thing('other 02')), {
        prepare: page => page.route('**/events', async route => {
            opened += 1;
            ids.push(await route.request().headerValue('last-event-id'));
            if (opened === 1) await server.control('append', 'other 02');
            const body = ': hello\r\n\r\nid: 7-1\r\nevent: version\r\ndata: {"version":2}\r\n\r\nevent: gap\ndata: {}\n\n';
            await route.fulfill({ body, contentType: 'text/event-stream' });
        }),
    });
    await shows(page, '#say', /^Version 2 of 2/);
    await shows(page, '#live', /Connecting again|Live/);
    await page.waitForRequest('**/events');
    await page.waitForRequest('**/events');
    equal([ids[0], ids[1]], [null, '7-1'], 'what the stream is resumed from');
    await browser.check(page, 'live');
    await page.context().close();
}

export async function a_real_stream_is_followed_and_resumed_each_time_it_ends(browser, server) {
    const resumed = [];
    const page = await browser.page(server.page(thing('other 03'), 'live'), {
        prepare: page => page.on('request', async request => {
            if (request.url().endsWith('/events')) resumed.push(await request.headerValue('last-event-id'));
        }),
    });
    await shows(page, '#say', /^Version 1 of 1/);
    await shows(page, '#live', /Live/);
    for (let version = 2; resumed.length < 4; version += 1) {
        await server.control('append', 'other 03');
        await shows(page, '#say', new RegExp(`^Version ${version} of ${version}`));
    }
    equal(resumed[0], null, 'the first stream begins now');
    holds(resumed.slice(1).every(id => /^[0-9a-f]{16}-[0-9]+$/.test(id)), `each other one is resumed: ${resumed}`);
    equal(page.wrong, [], 'what went wrong');
    await page.context().close();
}

export async function a_page_publishes_with_fetch_here_and_at_another_origin(browser, server) {
    const page = await browser.page(server.page());
    // The policy of the inspector allows its own origin only, so the script is that of another page.
    await page.goto(`${server.address}/open/health`);
    const elsewhere = server.address.replace('127.0.0.1', 'localhost');
    for (const base of [`${server.address}/guarded`, `${elsewhere}/shared`]) {
        const seen = await page.evaluate(async ({ base, key }) => {
            const authorization = `Bearer ${key}`;
            const place = `${base}/projects/~/publications`;
            const plot = new Blob(['<svg/>'], { type: 'image/svg+xml' });
            const json = answer => answer.json();
            const post = (path, document) => fetch(`${base}${path}`, {
                method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body: JSON.stringify(document),
            });
            // As the document says.
            const begun = await post('/snapshots/publish', { project_id: '', title: 'T', artifacts: { plot: true } }).then(json);
            const put = await fetch(begun.upload_urls.plot, { method: 'PUT', body: plot });
            const again = await fetch(begun.upload_urls.plot, { method: 'PUT', body: plot });
            const done = await post('/snapshots/finalize', { project_id: '', snapshot_id: begun.snapshot_id }).then(json);
            const read = await fetch(`${place}/${begun.snapshot_id}/artifacts/plot`, { headers: { authorization } });
            // And with a form.
            const form = new FormData();
            form.append('publication', new Blob(['{"title":"T"}'], { type: 'application/json' }));
            form.append('plot', plot, 'plot.svg');
            const sent = await fetch(place, { method: 'POST', headers: { authorization }, body: form });
            const status = (await sent.json()).data?.attributes.status;
            const wrong = await fetch(place, { method: 'POST', headers: { authorization: 'Bearer snf_x' }, body: form });
            return [put.status, again.status, done.status, await read.text(), read.headers.get('content-type'), sent.status, status, wrong.status];
        }, { base, key: server.keys.all });
        equal(seen, [201, 409, 'ok', '<svg/>', 'image/svg+xml', 201, 'completed', 401], base);
    }
    equal(page.wrong, [], 'what went wrong');
    await page.context().close();
}

export async function an_outage_of_the_store_is_told_and_passes(browser, server) {
    await server.control('down');
    try {
        await eachLook(browser, 'store down', server.page(thing('orders')), page => shows(page, '#problem', /not available/));
        const page = await browser.page(server.page(thing('orders', { version: 20 })));
        await shows(page, '#problem', /not available/);
        await server.control('up');
        await shows(page, '#say', /^Version 20 of 48/);
        await page.locator('#problem').waitFor({ state: 'hidden' });
        await server.control('down');
        await shows(page, '#problem', /not available/);
        await shows(page, '#tree', /count/);
        await server.control('up');
        await page.locator('#problem').waitFor({ state: 'hidden' });
        equal(page.wrong, [], 'what went wrong');
        await page.context().close();
    } finally {
        await server.control('up');
    }
}

export async function an_aggregate_that_is_deleted_goes_away(browser, server) {
    const page = await browser.page(server.page(thing('doomed')));
    await shows(page, '#say', /^Version 3 of 3/);
    await server.control('delete', 'doomed');
    await shows(page, '#problem', /it was deleted/);
    equal(await page.locator('#tree').textContent(), '', 'the tree');
    await browser.check(page, 'deleted');
    await page.context().close();
}

export async function a_server_that_restarts_is_found_again(browser, server) {
    const page = await browser.page(server.page(thing('orders', { version: 20 })));
    await shows(page, '#say', /^Version 20 of 48/);
    await server.stop();
    try {
        await shows(page, '#problem', /does not answer/);
        await shows(page, '#tree', /count/);
        await browser.check(page, 'server down');
    } finally {
        await server.start_again();
    }
    await page.locator('#problem').waitFor({ state: 'hidden' });
    await page.click('#after');
    await shows(page, '#say', /^Version 21 of 48/);
    equal(page.wrong, [], 'what went wrong');
    await page.context().close();
}

export async function less_motion_is_respected(browser, server) {
    const page = await browser.page(server.page(thing('orders')), { reducedMotion: 'reduce' });
    await state(page);
    const name = await page.locator('#view').evaluate(it => {
        it.classList.add('busy');
        return getComputedStyle(it, '::after').animationName;
    });
    equal(name, 'none', 'the animation');
    await page.context().close();
}

/** Times are reported. They depend on the machine, so they decide nothing. */
export async function the_first_paint_is_timed(browser, server) {
    const times = [];
    for (let i = 0; i < 5; i++) {
        const page = await browser.page(server.page(thing('orders')));
        await state(page);
        times.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime));
        await page.context().close();
    }
    times.sort((a, b) => a - b);
    return `first paint after ${times.map(it => Math.round(it)).join(', ')} ms`;
}
