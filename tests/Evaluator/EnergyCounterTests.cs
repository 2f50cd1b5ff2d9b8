using System.Globalization;
using Qbb.Evaluator.Accounting;
using Qbb.Tests;

namespace Qbb.Evaluator.Tests;

/// <summary>Counters of energy in a folder as Linux has it.</summary>
public sealed class EnergyCounterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Packages_are_summed_and_a_counter_may_begin_again()
    {
        Zone("intel-rapl:0", 9_000_000, 10_000_000);
        Zone("intel-rapl:1", 1_000_000, 10_000_000);
        // Cores of the first package, which hold a part of its energy.
        Zone("intel-rapl:0:0", 7, 10_000_000);
        var counter = EnergyCounter.OpenProcessors(_folder.Path)!;
        counter.Joules.ShouldBe(0);
        Zone("intel-rapl:0", 500_000, 10_000_000);
        Zone("intel-rapl:1", 1_250_000, 10_000_000);
        Zone("intel-rapl:0:0", 900_007, 10_000_000);
        counter.Joules.ShouldBe(1.5 + 0.25);
        Zone("intel-rapl:1", 2_250_000, 10_000_000);
        counter.Joules.ShouldBe(2.75);
    }

    [Fact]
    public void A_machine_that_does_not_tell_has_none()
    {
        EnergyCounter.OpenProcessors(_folder.File("none")).ShouldBeNull();
        EnergyCounter.OpenProcessors(_folder.Path).ShouldBeNull();
        Zone("intel-rapl:0", 1, 10);
        Directory.CreateDirectory(_folder.File("intel-rapl:1"));
        EnergyCounter.OpenProcessors(_folder.Path).ShouldBeNull("of two packages one cannot be read");
    }

    private void Zone(string name, long microjoules, long range)
    {
        Directory.CreateDirectory(_folder.File(name));
        File.WriteAllText(Path.Combine(_folder.File(name), "energy_uj"), microjoules.ToString(CultureInfo.InvariantCulture) + "\n");
        File.WriteAllText(Path.Combine(_folder.File(name), "max_energy_range_uj"), range.ToString(CultureInfo.InvariantCulture) + "\n");
    }
}
