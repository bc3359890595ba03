// What every world of a test's own shares: a set-up that fails half-way leaves nothing behind.

/** Runs a set-up; when it throws, `undo` takes away what it has made so far. */
export function orUndo<T>(undo: () => void, setUp: () => T): T {
  try {
    return setUp();
  } catch (error) {
    undo();
    throw error;
  }
}

export async function orUndoAsync<T>(undo: () => Promise<void>, setUp: () => Promise<T>): Promise<T> {
  try {
    return await setUp();
  } catch (error) {
    await undo();
    throw error;
  }
}
