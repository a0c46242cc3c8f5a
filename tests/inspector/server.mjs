// The test server, which can be ended and started again at the same port.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export class Server {
    static async start(program) {
        const it = new Server();
        it.program = program;
        await it.run(0);
        return it;
    }

    async run(port) {
        this.process = spawn(this.program, ['--port', String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
        const failed = once(this.process, 'exit').then(([code]) => { throw new Error(`the server ended with ${code}`); });
        failed.catch(() => {});
        const [line] = await Promise.race([once(createInterface({ input: this.process.stdout }), 'line'), failed]);
        Object.assign(this, JSON.parse(line));
    }

    async stop() {
        if (this.process.exitCode !== null || this.process.signalCode !== null) return;
        const ended = once(this.process, 'exit');
        this.process.kill();
        await ended;
    }

    start_again() {
        return this.run(new URL(this.address).port);
    }

    async control(action, id = '-') {
        const answer = await fetch(`${this.address}/control/${action}/${encodeURIComponent(id)}`, { method: 'POST' });
        if (!answer.ok) throw new Error(`${action} ${id}: ${await answer.text()}`);
    }

    page(place = {}, delivery = 'open') {
        const hash = new URLSearchParams(place);
        return `${this.address}/${delivery}/inspect${String(hash) && '#' + hash}`;
    }

    async text(path, delivery = 'open') {
        const answer = await fetch(`${this.address}/${delivery}/${path}`);
        if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
        return answer.text();
    }
}
