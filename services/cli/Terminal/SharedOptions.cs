using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Runtime.InteropServices;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Cli.Terminal;

/// <summary>Options and arguments that several commands have alike.</summary>
internal static class SharedOptions
{
    public static Argument<string> Model(string description = "A Hugging Face folder, a GGUF file, or hf:OWNER/NAME (hf:OWNER/NAME/FILE.gguf, @REVISION) on the hub.") => new("MODEL") { Description = description };

    public static Option<string> Device() => new("--device")
    {
        Description = "cpu, cuda or cuda:N. Default: the GPU where there is one.",
        DefaultValueFactory = _ => HasDriver && HasCuda() ? "cuda" : "cpu",
    };

    /// <summary>Without NVIDIA's driver libtorch need not be loaded to know that there is no GPU.</summary>
    private static bool HasDriver => NativeLibrary.TryLoad("libcuda.so.1", out _);

    private static bool HasCuda() => torch.cuda.is_available();

    public static Option<string?> DType()
    {
        var option = new Option<string?>("--dtype") { Description = "Type to calculate in: fp32, bf16 or fp16. Default: bf16 on a GPU, fp32 on the CPU." };
        option.AcceptOnlyFromAmong("fp32", "bf16", "fp16");
        return option;
    }

    /// <summary>For commands that read a nested model.</summary>
    public static Option<int?> FirstBases() => new("--bases", "-n")
    {
        Description = "Of a model quantized with --nested, use the first n bases only. Default: all.",
    };

    public static Option<int?> Threads() => new("--threads") { Description = "CPU threads. Default: all cores." };

    public static Option<int?> CacheBits() => new("--kv-cache")
    {
        Description = "Bits of a cached key or value on the CPU: 16, or 8 for half of the memory. Default: 16.",
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (text is "8" or "16")
                return int.Parse(text, CultureInfo.InvariantCulture);
            result.AddError($"--kv-cache is '{text}': give 16 or 8");
            return null;
        },
    };

    public static Option<ActivationScale?> Integer() => new("--integer")
    {
        Description = "Layers of binary bases sum integers: inputs are rounded to int8, with one scale per token, or per group of it (group).",
        Arity = ArgumentArity.ZeroOrOne,
        CustomParser = ParseIntegerScale,
    };

    public static Option<string> OutputFolder(string description = "The folder to write.") => new("--output", "-o") { Description = description, Required = true };

    public static Option<string[]> Stop() => new("--stop") { Description = "End before this text; may be given several times.", Arity = ArgumentArity.OneOrMore };

    public static Option<bool> Force() => new("--force") { Description = "Replace an output that qbb wrote; other files are never deleted." };

    public static Option<string> Embedding()
    {
        var option = new Option<string>("--embedding")
        {
            Description = "Bits of embedding and head, 16 as they are, or bases for binary matrices like the layers.",
            DefaultValueFactory = _ => "8",
        };
        option.AcceptOnlyFromAmong("8", "6", "4", "16", "bases");
        return option;
    }

    public static EmbeddingForm ParseEmbedding(string text) => text == "bases" ? EmbeddingForm.Bases : (EmbeddingForm)int.Parse(text, CultureInfo.InvariantCulture);

    public static Option<GroupSize> Group(string description) => new("--group", "-g")
    {
        Description = description,
        DefaultValueFactory = _ => new GroupSize(128),
        CustomParser = ParseGroup,
    };

    public static Option<GroupSize[]> Groups(string description) => new("--group", "-g")
    {
        Description = description,
        DefaultValueFactory = _ => [new GroupSize(128)],
        CustomParser = result => [.. Items(result).Select(text => ParseGroup(result, text))],
        AllowMultipleArgumentsPerToken = true,
    };

    /// <summary>The device that was requested; refuses what this machine does not have.</summary>
    public static Device ParseDevice(string text)
    {
        try
        {
            return Natives.RequireDevice(text);
        }
        catch (FormatException e)
        {
            throw new InvalidInputException(e.Message, e);
        }
    }

    /// <summary>The type that was requested, or the one that suits the device.</summary>
    public static ScalarType ParseDType(string? text, Device device) => text switch
    {
        "fp32" => ScalarType.Float32,
        "bf16" => ScalarType.BFloat16,
        "fp16" => ScalarType.Float16,
        _ => device.type == DeviceType.CUDA ? ScalarType.BFloat16 : ScalarType.Float32,
    };

    /// <summary>Sets the threads of libtorch; gives how many the product's own loops should use.</summary>
    public static int ApplyThreads(int? threads)
    {
        if (CheckThreads(threads) is { } count)
            torch.set_num_threads(count);
        return threads ?? Environment.ProcessorCount;
    }

    /// <exception cref="InvalidInputException">The threads are out of range.</exception>
    public static int? CheckThreads(int? threads) =>
        threads is < 1 or > 1024 ? throw new InvalidInputException($"--threads is {threads}; it must be 1 to 1024") : threads;

    private static ActivationScale? ParseIntegerScale(ArgumentResult result)
    {
        var text = result.Tokens.Count == 0 ? "token" : result.Tokens[0].Value;
        if (Enum.TryParse<ActivationScale>(text, ignoreCase: true, out var scale) && Enum.IsDefined(scale))
            return scale;
        result.AddError($"--integer is '{text}': give token or group");
        return null;
    }

    /// <summary>The items of a list, with commas or spaces between them.</summary>
    public static IEnumerable<string> Items(ArgumentResult result) =>
        result.Tokens.SelectMany(token => token.Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));

    private static GroupSize ParseGroup(ArgumentResult result) => ParseGroup(result, result.Tokens[0].Value);

    private static GroupSize ParseGroup(ArgumentResult result, string text)
    {
        if (int.TryParse(text, out var group))
            return new GroupSize(group);
        if (text != "row")
            result.AddError($"--group is '{text}': give a number of inputs such as 128, or row");
        return default;
    }
}

/// <summary>A group size as it is typed: a number, or <c>row</c>. The parser fails on a null that an option means.</summary>
/// <param name="Inputs">That share a scale; null for those of a row.</param>
internal readonly record struct GroupSize(int? Inputs)
{
    public override string ToString() => Inputs?.ToString(CultureInfo.InvariantCulture) ?? "row";
}
