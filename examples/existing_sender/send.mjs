// Sends a message with Twilio's own SDK; the delivery stack tracks it.
//
//     node send.mjs +15558675310 "Your order is on its way" 4711
//
// Reads from the environment: TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_FROM,
// STATUS_CALLBACK_URL (the stack's output StatusCallbackUrl) and, for a simulator or a sandbox only,
// TWILIO_API_BASE_URL.
import twilio from 'twilio';

const { env } = process;

// Twilio tries a lost callback again only where the URL asks for it, in a fragment that it obeys and
// does not send: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
const RETRY_LOST_CALLBACKS = '#rc=5&rp=all&ct=2000&rt=5000';

// Sends what is meant for https://api.twilio.com to another place.
class SimulatorClient extends twilio.RequestClient {
  request(options) {
    const uri = options.uri.replace('https://api.twilio.com', env.TWILIO_API_BASE_URL);
    return super.request({ ...options, uri });
  }
}

// The stack's URL, with parameters of your own: they come back in the message's `context`.
function statusCallback(context) {
  const parameters = new URLSearchParams(context);
  parameters.sort();
  const query = parameters.toString().replaceAll('+', '%20');
  return `${env.STATUS_CALLBACK_URL}?${query}${RETRY_LOST_CALLBACKS}`;
}

const client = twilio(env.TWILIO_ACCOUNT_SID, env.TWILIO_AUTH_TOKEN, {
  httpClient: env.TWILIO_API_BASE_URL ? new SimulatorClient() : undefined,
});

const [to, body, order] = process.argv.slice(2);
const message = await client.messages.create({
  to,
  from: env.TWILIO_FROM,
  body,
  statusCallback: statusCallback({ order }),
});
console.log(message.sid);
