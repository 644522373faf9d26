/**
 * What the reader chose, and who wants to know when it changes.
 *
 * @param {object} initial the first values.
 * @returns {{get: function(): object, set: function(object): void, on: function(string[], function(object): void): void}}
 */
export function createStore(initial) {
  let state = initial;
  const listeners = [];
  return {
    get: () => state,
    set(patch) {
      const changed = Object.keys(patch).filter((key) => patch[key] !== state[key]);
      if (!changed.length) return;
      state = { ...state, ...patch };
      for (const { keys, run } of listeners) {
        if (changed.some((key) => keys.includes(key))) run(state);
      }
    },
    /** Runs at once, and again whenever one of the keys has another value. */
    on(keys, run) {
      listeners.push({ keys, run });
      run(state);
    },
  };
}
