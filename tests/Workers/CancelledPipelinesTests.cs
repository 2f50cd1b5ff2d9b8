using Qbb.Workers.Units;

namespace Qbb.Workers.Tests;

public class CancelledPipelinesTests
{
    private static readonly Guid s_pipeline = Guid.NewGuid();
    private readonly CancelledPipelines _cancelled = new();
    private readonly DateTime _noon = new(2030, 1, 1, 12, 0, 0, DateTimeKind.Utc);

    [Fact]
    public void What_is_at_hand_stops()
    {
        using var work = _cancelled.Begin(s_pipeline, _noon);
        using var other = _cancelled.Begin(Guid.NewGuid(), _noon);
        _cancelled.Cancel(s_pipeline, _noon.AddSeconds(1));
        work.Token.IsCancellationRequested.ShouldBeTrue();
        other.Token.IsCancellationRequested.ShouldBeFalse();
    }

    [Fact]
    public void What_was_queued_does_not_begin()
    {
        _cancelled.Cancel(s_pipeline, _noon);
        using var work = _cancelled.Begin(s_pipeline, _noon.AddSeconds(-1));
        work.Token.IsCancellationRequested.ShouldBeTrue();
    }

    [Fact]
    public void A_pipeline_that_is_started_again_runs()
    {
        _cancelled.Cancel(s_pipeline, _noon);
        using var work = _cancelled.Begin(s_pipeline, _noon.AddSeconds(1));
        work.Token.IsCancellationRequested.ShouldBeFalse();
    }
}
