using System.CommandLine;
using Qbb.Standalone.Benchmarks;

namespace Qbb.Standalone.Commands;

/// <summary>Options that several benchmarks have alike.</summary>
internal static class BenchOptions
{
    public static Option<string> Shape()
    {
        var option = new Option<string>("--shape") { Description = "Sizes of the model: LLaMA-2-7B, SmolLM2-135M or a tiny one.", DefaultValueFactory = _ => "7b" };
        option.AcceptOnlyFromAmong([.. BenchShape.Names]);
        return option;
    }
}
