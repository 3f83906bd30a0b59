/**
 * The scripted broker, which room tests use, keeps the broker contract, whether it answers at once,
 * later, or alternately.
 */
import { brokerContract } from '../contract/broker.js';
import { type Answer, ScriptedBroker } from '../support/scripted-broker.js';

for (const answers of [['now'], ['later'], ['now', 'later']] as const satisfies Answer[][]) {
  brokerContract(
    `scripted, answering ${answers.join(' and ')}`,
    async (keeping) => {
      let calls = 0;
      const script = {
        answer: () => answers[calls++ % answers.length] as Answer,
        later: (_: string, job: () => void) => setImmediate(job),
      };
      const broker = new ScriptedBroker(script, keeping?.messages);
      return {
        node: async () => broker,
        settle: async () => {
          for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
        },
        close: async () => broker.close(),
      };
    },
    { nodes: 1, history: true },
  );
}
