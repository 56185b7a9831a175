/** What `apt-cache show` says about a package: the fields of Debian's control files (Debian Policy, section 5). */
export interface PackageRecord {
  readonly name: string;
  readonly version: string;
  /** The names of the packages that it depends on, also before it is installed; of alternatives the first. */
  readonly depends: readonly string[];
  /** Bytes to download; 0 when it does not say. */
  readonly size: number;
}

/** Parses all paragraphs that name a package. */
export function parsePackageRecords(text: string): PackageRecord[] {
  return text
    .split(/\n\s*\n/)
    .map(parseParagraph)
    .filter((found) => found !== undefined);
}

function parseParagraph(paragraph: string): PackageRecord | undefined {
  const fields = new Map<string, string>();
  // A line that starts with a space continues the field before it.
  for (const line of paragraph.replace(/\n[ \t]+/g, ' ').split('\n')) {
    const match = /^([^:\s]+):\s*(.*)$/.exec(line);
    if (match !== null) fields.set(match[1]!.toLowerCase(), match[2]!);
  }
  const name = fields.get('package');
  if (name === undefined) return undefined;
  return {
    name,
    version: fields.get('version') ?? '',
    depends: [...parseDepends(fields.get('depends') ?? ''), ...parseDepends(fields.get('pre-depends') ?? '')],
    size: Number.parseInt(fields.get('size') ?? '0', 10) || 0,
  };
}

/** `a (= 1.2), b | c, d:any` is a, b, d. */
function parseDepends(text: string): string[] {
  return text
    .split(',')
    .map((dependency) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(dependency)?.[1])
    .filter((name) => name !== undefined);
}
