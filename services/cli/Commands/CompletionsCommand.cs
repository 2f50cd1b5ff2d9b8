using System.CommandLine;
using System.CommandLine.Help;
using System.Text;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb completions</c>: a script for a shell, written from the commands and options that there are.</summary>
internal sealed class CompletionsCommand : Command
{
    public CompletionsCommand(ProgramCommand root) : base("completions", "Prints completions for a shell, such as: source <(qbb completions bash).")
    {
        var shell = new Argument<string>("SHELL") { Description = "bash, zsh or fish." };
        shell.AcceptOnlyFromAmong("bash", "zsh", "fish");
        Arguments.Add(shell);
        SetAction(parsed => parsed.InvocationConfiguration.Output.Write(parsed.GetRequiredValue(shell) switch
        {
            "bash" => Bash(root),
            "zsh" => Zsh(root),
            _ => Fish(root),
        }));
    }

    /// <summary>Every command with its names from the program's on, the program itself first: "", "quantize", "policy set".</summary>
    private static IEnumerable<(string Path, Command Command)> Commands(Command command, string path = "") =>
        command.Subcommands.SelectMany(inner => Commands(inner, $"{path} {inner.Name}".Trim())).Prepend((path, command));

    private static IEnumerable<Option> OptionsOf(Command command) => command.Options.Where(option => !option.Hidden && option is not VersionOption and not HelpOption);

    private static IEnumerable<string> NamesOf(Option option) => option.Aliases.Order(StringComparer.Ordinal).Append(option.Name);

    /// <summary>What an argument can be: other words, a path, or nothing that is known.</summary>
    private static IReadOnlyList<string> ChoicesOf(Command command) =>
        [.. command.Arguments.SelectMany(argument => argument.GetCompletions(System.CommandLine.Completions.CompletionContext.Empty)).Select(item => item.Label)];

    private static bool IsPath(string? value) => value is "FILE" or "FOLDER" or "MODEL";

    private static bool TakesPath(Command command) => command.Arguments.Any(argument => argument.Name is "MODEL" or "STUDENT" or "TEACHER" or "DATA");

    /// <summary>The parts that bash and zsh share: the words that begin a command, the values of each option, the words of each command.</summary>
    private static (string Paths, string Values, string Words) Cases(Command root, Func<IReadOnlyList<string>, string> words, string files, string folders)
    {
        var (values, all) = (new StringBuilder(), new StringBuilder());
        var commands = Commands(root).ToList();
        foreach (var (path, command) in commands)
        {
            foreach (var option in OptionsOf(command).Where(option => OptionModel.ValueOf(option) is not null))
            {
                var value = OptionModel.ValueOf(option);
                var choices = OptionModel.ChoicesOf(option);
                var action = choices.Count > 0 ? words(choices) : value == "FOLDER" ? folders : IsPath(value) ? files : ":";
                values.AppendLine($"    {string.Join('|', NamesOf(option).Select(name => $"\"{path}:{name}\""))}) {action}; return ;;");
            }
            List<string> next = [.. command.Subcommands.Select(inner => inner.Name), .. ChoicesOf(command), .. OptionsOf(command).Select(option => option.Name), "--help"];
            all.AppendLine($"    \"{path}\") {words(next)}{(TakesPath(command) ? $"; {files}" : "")} ;;");
        }
        return (string.Join('|', commands.Skip(1).Select(command => $"\"{command.Path}\"")), values.ToString(), all.ToString());
    }

    private static string Bash(ProgramCommand root)
    {
        var (paths, values, words) = Cases(
            root, choices => $"COMPREPLY+=($(compgen -W '{string.Join(' ', choices)}' -- \"$cur\"))", "COMPREPLY+=($(compgen -f -- \"$cur\"))", "COMPREPLY+=($(compgen -d -- \"$cur\"))");
        return $$"""
            # bash: source <(qbb completions bash), or save it as /etc/bash_completion.d/qbb
            _{{root.Program}}() {
              local cur=${COMP_WORDS[COMP_CWORD]} verb= next word IFS=$' \n'
              COMPREPLY=()
              for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
                next="${verb:+$verb }$word"
                case "$next" in {{paths}}) verb=$next ;; esac
              done
              case "$verb:${COMP_WORDS[COMP_CWORD-1]}" in
            {{values}}  esac
              case "$verb" in
            {{words}}  esac
            }
            complete -o filenames -F _{{root.Program}} {{root.Program}}

            """;
    }

    private static string Zsh(ProgramCommand root)
    {
        var (paths, values, words) = Cases(root, choices => $"compadd -- {string.Join(' ', choices)}", "_files", "_files -/");
        return $$"""
            #compdef {{root.Program}}
            # zsh: source <(qbb completions zsh), or save it as _qbb in a folder of $fpath
            _{{root.Program}}() {
              local verb= next word
              for word in "${(@)words[2,CURRENT-1]}"; do
                next="${verb:+$verb }$word"
                case "$next" in {{paths}}) verb=$next ;; esac
              done
              case "$verb:${words[CURRENT-1]}" in
            {{values}}  esac
              case "$verb" in
            {{words}}  esac
            }
            if [ "$funcstack[1]" = _{{root.Program}} ]; then _{{root.Program}} "$@"; else compdef _{{root.Program}} {{root.Program}}; fi

            """;
    }

    private static string Fish(ProgramCommand root)
    {
        var script = new StringBuilder($"# fish: qbb completions fish | source, or save it as ~/.config/fish/completions/qbb.fish\ncomplete -c {root.Program} -f\n");
        foreach (var (path, command) in Commands(root))
        {
            // All words of the path were given, and none that would begin another command.
            var conditions = path.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(word => $"__fish_seen_subcommand_from {word}").ToList();
            var inner = string.Join(' ', command.Subcommands.Select(one => one.Name));
            var start = $"complete -c {root.Program} -n {Quote(string.Join("; and ", [.. conditions, .. inner.Length > 0 ? [$"not __fish_seen_subcommand_from {inner}"] : Array.Empty<string>()]))}";
            foreach (var one in command.Subcommands)
                script.AppendLine($"{start} -a {one.Name} -d {Quote(one.Description)}");
            if (ChoicesOf(command) is { Count: > 0 } choices)
                script.AppendLine($"{start} -a {Quote(string.Join(' ', choices))}");
            if (TakesPath(command))
                script.AppendLine($"{start} -F");
            foreach (var option in OptionsOf(command))
            {
                var names = string.Concat(NamesOf(option).Select(name => name.StartsWith("--", StringComparison.Ordinal) ? $" -l {name[2..]}" : $" -s {name[1..]}"));
                var value = OptionModel.ValueOf(option);
                var given = value is null ? "" : OptionModel.ChoicesOf(option) is { Count: > 0 } values ? $" -x -a {Quote(string.Join(' ', values))}" : IsPath(value) ? " -r -F" : " -x";
                script.AppendLine($"{start}{names}{given} -d {Quote(option.Description)}");
            }
        }
        return script.ToString();
    }

    private static string Quote(string? text) => $"'{(text ?? "").Replace(@"\", @"\\", StringComparison.Ordinal).Replace("'", @"\'", StringComparison.Ordinal)}'";
}
