using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Reflection;

namespace Qbb.Cli.Terminal;

/// <summary>What help and completions tell of an option: its group, its values, its default. Enums are spelled in kebab-case, as in recipes.</summary>
internal static class OptionModel
{
    /// <summary>The groups of a help page, in order.</summary>
    private static readonly string[] s_groups =
        ["Input", "Quantization", "Mixed precision", "Calibration", "Sampling", "Filter", "Distillation", "Scoring", "Generation", "Server", "Plan", "Gate", "Registry", "Compute", "Output"];

    public static int OrderOf(string group) => Array.IndexOf(s_groups, group);

    public static string GroupOf(Command command, Option option) => (command.Name, option.Name) switch
    {
        (_, "--output" or "--force" or "--json" or "--format" or "--all" or "--restore") => "Output",
        (_, "--device" or "--dtype" or "--threads" or "--integer" or "--no-graph" or "--activation-checkpointing" or "--teacher-cache" or "--activations"
            or "--calibration-dtype") => "Compute",
        ("serve", "--use-generation-config") => "Generation",
        ("serve", not ("--bases" or "--url")) => "Server",
        (_, "--url" or "--port" or "--data" or "--set") when command.Name is not "distill" => "Registry",
        (_, "--max-kl" or "--max-perplexity-ratio" or "--max-bits") when command.Name == "set" => "Gate",
        ("quantize", "--size" or "--bits" or "--bases-range" or "--sensitivity" or "--sensitivity-sequences") => "Mixed precision",
        ("quantize", "--calibration" or "--text" or "--calibration-sequences" or "--calibration-context" or "--importance" or "--allow-long-context") => "Calibration",
        ("quantize" or "compare", "--sequences" or "--length" or "--keep" or "--loss" or "--distill-steps" or "--distill-batch" or "--distill-lr" or "--sign-lr"
            or "--feature-weight") => "Distillation",
        ("quantize", _) or ("compare", "--methods" or "--bases" or "--group" or "--calibration-text") => "Quantization",
        ("distill", "--teacher" or "--data" or "--text" or "--length" or "--allow-long-context") => "Input",
        ("distill", _) => "Distillation",
        ("sample", _) => "Sampling",
        ("filter", "--teacher" or "--student") => "Input",
        ("filter", _) => "Filter",
        ("generate", "--prompt" or "--bases") => "Input",
        ("generate", _) => "Generation",
        ("inspect", _) => "Plan",
        ("eval", "--bases") => "Input",
        ("eval" or "compare", _) => "Scoring",
        _ => "Input",
    };

    /// <summary>What stands for the value in help: FILE, N, or the values there are; null for a switch.</summary>
    public static string? ValueOf(Option option)
    {
        if (TypeOf(option) == typeof(bool))
            return null;
        if (ChoicesOf(option) is { Count: > 0 } choices)
            return string.Join('|', choices);
        return option.HelpName ?? option.Name switch
        {
            "--output" or "--data" or "--calibration" or "--activations" or "--earlier" => "FOLDER",
            "--text" or "--file" or "--recipe" or "--sensitivity" or "--task" => "FILE",
            "--teacher" or "--student" => "MODEL",
            "--url" or "--urls" => "URL",
            "--api-key" => "KEY",
            "--group" => "N|row",
            "--bases-range" => "FROM-TO",
            "--device" => "DEVICE",
            "--ids" => "ID,ID,…",
            "--prompt" => "TEXT",
            "--set" => "NAME=VALUE",
            _ => TypeOf(option) is var type && type == typeof(string) ? "NAME" : type == typeof(double) ? "X" : "N",
        };
    }

    /// <summary>The values of an option that has a few; empty for others.</summary>
    public static IReadOnlyList<string> ChoicesOf(Option option)
    {
        var type = TypeOf(option);
        if (type == typeof(bool))
            return [];
        return type.IsEnum ? [.. Enum.GetValues(type).Cast<Enum>().Select(Wire.NameOf)]
            : [.. option.GetCompletions(CompletionContext.Empty).Select(item => item.Label)];
    }

    /// <summary>The default as it would be typed; null if the option has no default, or the description states it.</summary>
    public static string? DefaultOf(Option option)
    {
        if (option.Required || TypeOf(option) == typeof(bool) || option.Description?.Contains("Default:", StringComparison.Ordinal) == true)
            return null;
        var value = option.HasDefaultValue ? option.GetDefaultValue() : option.ValueType.IsValueType ? Activator.CreateInstance(option.ValueType) : null;
        return value switch
        {
            null or "" => null,
            Enum name => Wire.NameOf(name),
            string text => text,
            System.Collections.IEnumerable many => string.Join(' ', many.Cast<object>()),
            IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
            _ => value.ToString(),
        };
    }

    /// <summary>Lets every enum's option read the names that help shows, and nothing else.</summary>
    public static void SpellEnums(Command command)
    {
        foreach (var option in command.Options.Where(option => TypeOf(option).IsEnum))
        {
            var method = option.ValueType.IsEnum ? nameof(Spell) : nameof(SpellOptional);
            typeof(OptionModel).GetMethod(method, BindingFlags.NonPublic | BindingFlags.Static)!.MakeGenericMethod(TypeOf(option)).Invoke(null, [option]);
        }
        foreach (var inner in command.Subcommands)
            SpellEnums(inner);
    }

    /// <summary>Lets no number have separators of thousands: the parser reads 1,5 as 15.</summary>
    public static void ReadPlainNumbers(Command command)
    {
        foreach (var option in command.Options)
        {
            if (option is Option<double> number)
                number.CustomParser ??= result => Number(result) ?? 0;
            else if (option is Option<double?> optional)
                optional.CustomParser ??= Number;
        }
        foreach (var inner in command.Subcommands)
            ReadPlainNumbers(inner);
    }

    private static double? Number(ArgumentResult result)
    {
        var text = result.Tokens[0].Value;
        if (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number))
            return number;
        result.AddError($"{((OptionResult)result.Parent!).Option.Name} is '{text}': give a number such as 0.5");
        return null;
    }

    /// <summary>
    /// A rule of several options reads their values, and the parser throws where one cannot be read. It reports that by itself, but only where no
    /// rule has another complaint.
    /// </summary>
    public static void ReadOnlyWhatParses(Command command)
    {
        Action<CommandResult>[] rules = [.. command.Validators];
        command.Validators.Clear();
        foreach (var rule in rules)
        {
            command.Validators.Add(result =>
            {
                if (!result.Children.OfType<OptionResult>().Any(IsUnreadable))
                    rule(result);
            });
        }
        foreach (var inner in command.Subcommands)
            ReadOnlyWhatParses(inner);
    }

    private static bool IsUnreadable(OptionResult result)
    {
        try
        {
            _ = result.GetValueOrDefault<object>();
            return false;
        }
        catch (InvalidOperationException)
        {
            return true;
        }
    }

    private static void Spell<T>(Option<T> option)
        where T : struct, Enum => option.CustomParser ??= result => Parse<T>(result) ?? default;

    private static void SpellOptional<T>(Option<T?> option)
        where T : struct, Enum => option.CustomParser ??= Parse<T>;

    private static T? Parse<T>(ArgumentResult result)
        where T : struct, Enum
    {
        var text = result.Tokens[0].Value;
        if (Wire.Find<T>(text) is { } value)
            return value;
        result.AddError($"{((OptionResult)result.Parent!).Option.Name} is '{text}': give {string.Join(", ", Wire.NamesOf<T>())}");
        return null;
    }

    private static Type TypeOf(Option option) =>
        Nullable.GetUnderlyingType(option.ValueType) ?? option.ValueType.GetElementType() ?? option.ValueType;
}
