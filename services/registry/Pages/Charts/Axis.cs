
namespace Qbb.Registry.Pages.Charts;

/// <summary>Maps values to places of a picture, and chooses round values to mark.</summary>
internal sealed class Axis
{
    private const int Marks = 5;
    private readonly double _first;
    private readonly double _last;
    private readonly double _start;
    private readonly double _end;
    private readonly bool _isLogarithmic;

    /// <param name="values">What is to be seen; at least one.</param>
    /// <param name="start">Place of the least, in pixels.</param>
    /// <param name="end">Place of the greatest; less than <paramref name="start"/> for an axis that rises.</param>
    /// <param name="margin">Share of the range that is left free at both ends.</param>
    /// <param name="mayBeLogarithmic">Values that differ by more than 20 times are spread by their logarithms.</param>
    /// <param name="isWhole">Values are whole numbers, and so are the marks.</param>
    public Axis(IReadOnlyCollection<double> values, double start, double end, double margin = 0.08, bool mayBeLogarithmic = false, bool isWhole = false)
    {
        var (least, most) = (values.Min(), values.Max());
        _isLogarithmic = mayBeLogarithmic && least > 0 && most / least > 20;
        (least, most) = (Scaled(least), Scaled(most));
        var spread = most > least ? most - least : Math.Max(Math.Abs(most), 1) * 0.2;
        (_first, _last, _start, _end) = (least - margin * spread, most + margin * spread, start, end);
        Ticks = _isLogarithmic ? Decades() : Round(isWhole);
    }

    /// <summary>The values to mark, rising.</summary>
    public IReadOnlyList<double> Ticks { get; }

    public double Place(double value) => _start + (Scaled(value) - _first) / (_last - _first) * (_end - _start);

    /// <summary>A mark's value as text, with as many digits as tell it from the next.</summary>
    public string Text(double tick)
    {
        if (_isLogarithmic || Ticks.Count < 2)
            return Numbers.Format(tick, "#,0.###");
        var digits = Math.Clamp((int)Math.Ceiling(-Math.Log10(Ticks[1] - Ticks[0]) - 1e-9), 0, 8);
        return Numbers.Format(tick, digits == 0 ? "#,0" : "0." + new string('0', digits));
    }

    private double Scaled(double value) => _isLogarithmic ? Math.Log10(value) : value;

    /// <summary>Multiples of 1, 2 or 5 times a power of ten.</summary>
    private List<double> Round(bool isWhole)
    {
        var raw = (_last - _first) / Marks;
        var power = Math.Pow(10, Math.Floor(Math.Log10(raw)));
        var step = new[] { 1.0, 2.0, 5.0, 10.0 }.First(factor => factor * power >= raw * 0.999) * power;
        step = isWhole ? Math.Max(1, step) : step;
        var ticks = new List<double>();
        for (var index = Math.Ceiling(_first / step); index * step <= _last; index++)
            ticks.Add(index * step + 0.0);
        return ticks;
    }

    private List<double> Decades()
    {
        var ticks = new List<double>();
        var factors = _last - _first > 3 ? new[] { 1.0 } : [1.0, 2.0, 5.0];
        for (var power = Math.Floor(_first); power <= _last; power++)
            ticks.AddRange(factors.Select(factor => factor * Math.Pow(10, power)).Where(tick => Math.Log10(tick) >= _first && Math.Log10(tick) <= _last));
        return ticks;
    }
}
