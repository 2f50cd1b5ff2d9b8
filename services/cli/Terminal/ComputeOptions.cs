using System.CommandLine;

namespace Qbb.Cli.Terminal;

/// <summary>Where a command that runs models calculates, in what, and with how many threads.</summary>
internal sealed class ComputeOptions
{
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<string?> _dtype = SharedOptions.DType();
    private readonly Option<int?> _threads = SharedOptions.Threads();

    public IEnumerable<Option> All => [_device, _dtype, _threads];

    /// <summary>Whether to calculate on the CPU in its usual type, for which libtorch is not needed; and on how many threads.</summary>
    /// <exception cref="InvalidInputException">The threads are out of range.</exception>
    public bool IsPlainCpu(ParseResult parsed, out int threads)
    {
        threads = SharedOptions.CheckThreads(parsed.GetValue(_threads)) ?? Environment.ProcessorCount;
        return parsed.GetRequiredValue(_device) == "cpu" && parsed.GetValue(_dtype) is null or "fp32";
    }

    /// <summary>Sets libtorch's threads; gives the device, and the type that was requested or suits it.</summary>
    /// <exception cref="InvalidInputException">The machine does not have the device, or the threads are out of range.</exception>
    public (Device Device, ScalarType Type) Apply(ParseResult parsed)
    {
        SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        return (device, SharedOptions.ParseDType(parsed.GetValue(_dtype), device));
    }
}
