/**
 * `roomcast completion bash|zsh|fish`: prints a script with which a shell completes commands, flags and
 * the values of flags. The script is generated from the commands themselves.
 */
import { Argument, Command } from 'commander';
import { options } from '../options/index.js';

interface Flag {
  /** `--port` */
  readonly long: string;
  readonly description: string;
  readonly takesValue: boolean;
  /** Allowed values, if they are a small set. */
  readonly values: readonly string[];
}

interface Described {
  /** `serve`, `load agent`; empty for the program itself. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly flags: readonly Flag[];
}

const SHELLS = { bash, zsh, fish };

const INSTALL_HELP = `
For this shell, now and always:
  bash   roomcast completion bash > ~/.local/share/bash-completion/completions/roomcast
  zsh    roomcast completion zsh > "\${fpath[1]}/_roomcast"
  fish   roomcast completion fish > ~/.config/fish/completions/roomcast.fish
`;

/** The command `completion`, for a program that has all its commands by the time this one runs. */
export function completionCommand(program: Command): Command {
  return new Command('completion')
    .description('Print a script with which a shell completes commands and flags.')
    .addArgument(new Argument('<shell>').choices(Object.keys(SHELLS)))
    .addHelpText('after', INSTALL_HELP)
    .action((shell: keyof typeof SHELLS) => {
      process.stdout.write(SHELLS[shell](describe(program)));
    });
}

function describe(command: Command, path: readonly string[] = []): Described[] {
  const helper = command.createHelp();
  const below = helper.visibleCommands(command).filter((each) => each.name() !== 'help');
  return [
    {
      path: path.join(' '),
      commands: below.map((each) => ({ name: each.name(), description: each.description() })),
      flags: helper
        .visibleOptions(command)
        .flatMap(({ long, description, required, optional }) =>
          long
            ? [{ long, description, takesValue: required || optional, values: valuesOf(long) }]
            : [],
        ),
    },
    ...below.flatMap((each) => describe(each, [...path, each.name()])),
  ];
}

function valuesOf(long: string): readonly string[] {
  const schema = options.find(({ flag }) => `--${flag}` === long)?.schema;
  return schema?.enum ?? (schema?.type === 'boolean' ? ['true', 'false'] : []);
}

const firstLine = (text: string): string => text.split('\n', 1)[0] as string;
/** The first line of a text, in single quotes for a shell. */
const quoted = (text: string): string => `'${firstLine(text).replaceAll("'", "'\\''")}'`;

/** One line of `case` per command. */
const cases = (all: readonly Described[], words: (each: Described) => string): string =>
  all.map((each) => `    ${quoted(each.path)}) ${words(each)} ;;`).join('\n');

const names = ({ commands }: Described) => commands.map(({ name }) => name);

function bash(all: readonly Described[]): string {
  const values = new Map(
    all
      .flatMap(({ flags }) => flags)
      .flatMap(({ long, values }) => (values.length > 0 ? [[long, values]] : [])),
  );
  const files = all
    .flatMap(({ flags }) => flags)
    .filter(({ takesValue, long }) => takesValue && !values.has(long));
  return `# bash completion of roomcast
_roomcast() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} path='' each i
  COMPREPLY=()
  case $before in
${[...values].map(([long, each]) => `    ${long}) COMPREPLY=($(compgen -W ${quoted(each.join(' '))} -- "$word")); return ;;`).join('\n')}
    ${[...new Set(files.map(({ long }) => long))].join(' | ')}) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    each=\${path:+$path }\${COMP_WORDS[i]}
    case $each in
      ${all
        .slice(1)
        .map(({ path }) => quoted(path))
        .join(' | ')}) path=$each ;;
    esac
  done
  case $path in
${cases(all, (each) => `each=${quoted([...names(each), ...each.flags.map(({ long }) => long)].join(' '))}`)}
  esac
  COMPREPLY=($(compgen -W "$each" -- "$word"))
}
complete -o filenames -F _roomcast roomcast
`;
}

function zsh(all: readonly Described[]): string {
  const escaped = (text: string) => firstLine(text).replace(/[\\[\]:]/g, '\\$&');
  const argument = ({ long, description, takesValue, values }: Flag) => {
    const value = values.length > 0 ? `(${values.join(' ')})` : '_files';
    return quoted(`*${long}[${escaped(description)}]${takesValue ? `:value:${value}` : ''}`);
  };
  return `#compdef roomcast
_roomcast() {
  local each roomcast_path='' i
  local -a commands flags
  for ((i = 2; i < CURRENT; i++)); do
    each=\${roomcast_path:+$roomcast_path }\${words[i]}
    case $each in
      (${all
        .slice(1)
        .map(({ path }) => quoted(path))
        .join('|')}) roomcast_path=$each ;;
    esac
  done
  case $roomcast_path in
${all
  .map(
    (each) =>
      `    (${quoted(each.path)}) commands=(${each.commands.map(({ name, description }) => quoted(`${name}:${escaped(description)}`)).join(' ')}); flags=(${each.flags.map(argument).join(' ')}) ;;`,
  )
  .join('\n')}
  esac
  (( \${#commands} )) && _describe command commands
  _arguments $flags '*:: :'
}
if [[ $funcstack[1] == _roomcast ]]; then _roomcast "$@"; else compdef _roomcast roomcast; fi
`;
}

function fish(all: readonly Described[]): string {
  const lines = all.flatMap(({ path, commands, flags }) => {
    const deeper = commands.map(({ name }) => name);
    const seen = path.split(' ').filter(Boolean);
    const where = [
      ...seen.map((name) => `__fish_seen_subcommand_from ${name}`),
      ...(deeper.length > 0 ? [`not __fish_seen_subcommand_from ${deeper.join(' ')}`] : []),
    ].join('; and ');
    const line = `complete -c roomcast${where === '' ? '' : ` -n ${quoted(where)}`}`;
    return [
      ...commands.map(({ name, description }) => `${line} -f -a ${name} -d ${quoted(description)}`),
      ...flags.map(({ long, description, takesValue, values }) => {
        const value =
          values.length > 0 ? ` -x -a ${quoted(values.join(' '))}` : takesValue ? ' -r' : '';
        return `${line} -l ${long.slice(2)}${value} -d ${quoted(description)}`;
      }),
    ];
  });
  return `# fish completion of roomcast\n${lines.join('\n')}\n`;
}
