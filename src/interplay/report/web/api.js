/**
 * Asks the server that this page came from.
 *
 * @param {string} path below the page's own address, such as "api/ask".
 * @param {object} [body] sent as JSON by POST; without it the answer is read by GET.
 * @returns {Promise<object>} the answer; an Error with the server's words if it refuses.
 */
export async function call(path, body) {
  const how = body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  let response;
  try {
    response = await fetch(path, { ...how, credentials: "same-origin" });
  } catch {
    throw new Error("The server does not answer: it has ended, or this machine cannot reach it.");
  }
  if (response.ok) return response.json();
  const text = await response.text();
  let said = text;
  try {
    said = JSON.parse(text).error;
  } catch {
    // plain words
  }
  throw new Error(said || `The server answered ${response.status}.`);
}

/**
 * Follows what the server tells.
 *
 * @param {string} path of the events.
 * @param {Object<string, function(object): void>} heard by the name of the event; "lost" and
 *     "found" tell of the connection.
 */
export function follow(path, heard) {
  const source = new EventSource(path);
  for (const [name, run] of Object.entries(heard)) {
    if (name !== "lost" && name !== "found") source.addEventListener(name, (event) => run(JSON.parse(event.data)));
  }
  source.addEventListener("error", () => heard.lost?.());
  source.addEventListener("open", () => heard.found?.());
  addEventListener("pagehide", () => source.close());
}
