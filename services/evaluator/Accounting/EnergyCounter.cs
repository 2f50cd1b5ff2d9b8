using System.Globalization;
using Qbb.Cuda;

namespace Qbb.Evaluator.Accounting;

/// <summary>
/// The energy that a device has used, whoever used it: a GPU's board by NVML, the processors by the counters of Linux
/// (<c>/sys/class/powercap</c>), which most systems let only root read. Idle power is part of it.
/// </summary>
public abstract class EnergyCounter
{
    /// <summary>Joules since some moment before; null where the device no longer tells.</summary>
    public abstract double? Joules { get; }

    /// <summary>The counter of a device; null where it does not tell.</summary>
    public static EnergyCounter? Open(Device device)
    {
        if (device.type != DeviceType.CUDA)
            return OpenProcessors("/sys/class/powercap");
        return DeviceMonitor.Open(device) is { Joules: not null } monitor ? new Board(monitor) : null;
    }

    /// <summary>The counter of all processors together; null where one of them cannot be read.</summary>
    /// <param name="folder">Of powercap's zones.</param>
    internal static EnergyCounter? OpenProcessors(string folder)
    {
        // A package is intel-rapl:0, on AMD too; what is within it has a second number.
        var packages = Directory.Exists(folder) ? Directory.GetFileSystemEntries(folder, "intel-rapl:*").Where(zone => Path.GetFileName(zone).Count(letter => letter == ':') == 1).Order(StringComparer.Ordinal).ToList() : [];
        return packages.Count > 0 && packages.TrueForAll(zone => Read(zone, "energy_uj") is not null) ? new Processors(packages) : null;
    }

    private static long? Read(string zone, string name)
    {
        try
        {
            return long.TryParse(File.ReadAllText(Path.Combine(zone, name)), NumberStyles.Integer, CultureInfo.InvariantCulture, out var value) ? value : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private sealed class Board(DeviceMonitor monitor) : EnergyCounter
    {
        public override double? Joules => monitor.Joules;
    }

    private sealed class Processors : EnergyCounter
    {
        private readonly List<(string Zone, long Range)> _packages;
        private readonly long[] _last;
        private long _total;

        public Processors(List<string> packages)
        {
            _packages = packages.ConvertAll(zone => (zone, Read(zone, "max_energy_range_uj") ?? 0));
            _last = [.. packages.Select(zone => Read(zone, "energy_uj") ?? 0)];
        }

        public override double? Joules
        {
            get
            {
                for (var k = 0; k < _last.Length; k++)
                {
                    if (Read(_packages[k].Zone, "energy_uj") is not { } now)
                        return null;
                    // The counter begins at 0 again after its range, some minutes of full load.
                    _total += now >= _last[k] ? now - _last[k] : now + _packages[k].Range - _last[k];
                    _last[k] = now;
                }
                return _total / 1e6;
            }
        }
    }
}
