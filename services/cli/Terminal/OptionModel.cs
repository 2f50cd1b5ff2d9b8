using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;
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

    /// <summary>
    /// Lets options read the names of enums that help shows, and plain numbers (the parser takes 1,5 for 15); what is neither is refused by the option's name.
    /// </summary>
    public static void SpellValues(Command command)
    {
        foreach (var option in command.Options)
        {
            if (TypeOf(option) is { IsEnum: true } type)
                typeof(OptionModel).GetMethod(nameof(SpellEnum), BindingFlags.NonPublic | BindingFlags.Static)!.MakeGenericMethod(type).Invoke(null, [option]);
            Spell(option, Number<int>);
            Spell(option, Number<long>);
            Spell(option, Number<ulong>);
            Spell(option, Number<double>);
        }
        foreach (var inner in command.Subcommands)
            SpellValues(inner);
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

    private static void SpellEnum<T>(Option option)
        where T : struct, Enum => Spell(option, Parse<T>);

    private static void Spell<T>(Option option, Func<ArgumentResult, T?> read)
        where T : struct
    {
        if (option is Option<T> one)
            one.CustomParser ??= result => read(result) ?? default;
        else if (option is Option<T?> optional)
            optional.CustomParser ??= read;
    }

    private static T? Number<T>(ArgumentResult result)
        where T : struct, INumber<T>
    {
        var (text, isWhole) = (result.Tokens[0].Value, typeof(T) != typeof(double));
        if (T.TryParse(text, isWhole ? NumberStyles.Integer : NumberStyles.Float, CultureInfo.InvariantCulture, out var number))
            return number;
        Refuse(result, isWhole ? "a whole number" : "a number such as 0.5");
        return null;
    }

    private static T? Parse<T>(ArgumentResult result)
        where T : struct, Enum
    {
        var text = result.Tokens[0].Value;
        if (Wire.Find<T>(text) is { } value)
            return value;
        Refuse(result, string.Join(", ", Wire.NamesOf<T>()));
        return null;
    }

    private static void Refuse(ArgumentResult result, string known) =>
        result.AddError($"{((OptionResult)result.Parent!).Option.Name} is '{result.Tokens[0].Value}': give {known}");

    private static Type TypeOf(Option option) =>
        Nullable.GetUnderlyingType(option.ValueType) ?? option.ValueType.GetElementType() ?? option.ValueType;
}
