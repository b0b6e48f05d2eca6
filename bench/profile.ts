interface Node {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

interface Profile {
  readonly nodes: readonly Node[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const TOP = 40;

/**
 * Prints the self time of a process, by package and by function, in percent of the time that it was
 * busy.
 */
export function summarize(json: string): void {
  const { nodes, samples, timeDeltas } = JSON.parse(json) as Profile;
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const byPackage = new Map<string, number>();
  const byFunction = new Map<string, number>();
  let busy = 0;
  samples.forEach((id, index) => {
    const frame = byId.get(id)?.callFrame;
    const time = timeDeltas[index] ?? 0;
    if (!frame || ['(idle)', '(program)', '(root)'].includes(frame.functionName)) return;
    busy += time;
    const name = packageOf(frame.url) ?? frame.functionName;
    byPackage.set(name, (byPackage.get(name) ?? 0) + time);
    const place = `${frame.functionName || '(anonymous)'} ${frame.url.split('/').slice(-2).join('/')}:${String(frame.lineNumber + 1)}`;
    byFunction.set(place, (byFunction.get(place) ?? 0) + time);
  });
  const print = (title: string, times: ReadonlyMap<string, number>): void => {
    console.log(`\n${title}`);
    for (const [name, time] of [...times].sort(([, a], [, b]) => b - a).slice(0, TOP)) {
      console.log(`${((time / busy) * 100).toFixed(1).padStart(6)} %  ${name}`);
    }
  };
  print('By package', byPackage);
  print('By function', byFunction);
}

function packageOf(url: string): string | undefined {
  const [, inside] = url.split(/.*\/node_modules\//);
  if (inside !== undefined)
    return inside
      .split('/')
      .slice(0, inside.startsWith('@') ? 2 : 1)
      .join('/');
  if (url.startsWith('node:')) return url;
  return url === '' ? undefined : 'users-api';
}
