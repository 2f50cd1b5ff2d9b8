using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Tests.Pipelines;

public sealed class TurnTests(ITestOutputHelper output)
{
    private static readonly DateTimeOffset s_now = DateTimeOffset.UnixEpoch.AddDays(1);
    private static readonly QueueRoom s_oneWorker = new(Units: 2, Seconds: 10);

    [Fact]
    public void A_short_unit_passes_long_ones_that_are_not_sent()
    {
        var (whale, shrimp) = (State(queued: 20, sent: 1, seconds: 30), State(queued: 3, sent: 0, seconds: 1));
        Choose([whale, shrimp], s_oneWorker).ShouldBe([shrimp.Id], "one is at hand, and one is to follow it");
        Choose([whale with { Sent = 2 }, shrimp], s_oneWorker).ShouldBeEmpty("the worker has what it may have");
        // Where they are short, so many of them are sent that no worker waits for the next look.
        Choose([shrimp with { Queued = 64, UnitSeconds = 0.001 }], s_oneWorker).Count.ShouldBe(64);
        Choose([shrimp with { Queued = 64 }], s_oneWorker).Count.ShouldBe(10);
    }

    [Fact]
    public void Pipelines_of_equal_units_take_turns()
    {
        var three = Enumerable.Range(0, 3).Select(_ => State(queued: 10, sent: 0, seconds: 30)).OrderBy(state => state.Id).ToList();
        var order = three.Select(state => state.Id).ToList();
        Choose(three, new QueueRoom(9, 0)).ShouldBe([.. order, .. order, .. order]);
        // Who has units at work already waits for those who have none.
        Choose([three[0] with { Sent = 2 }, three[1], three[2]], new QueueRoom(6, 0)).ShouldBe([order[1], order[2], order[1], order[2]]);
    }

    [Fact]
    public void Queues_do_not_wait_for_one_another_and_what_a_broker_lost_takes_no_room()
    {
        var (stuck, other) = (State(queued: 5, sent: 2, seconds: 30), State(queued: 5, sent: 0, seconds: 30) with { Queue = WorkQueues.Evaluator });
        Choose([stuck, other], s_oneWorker).ShouldBe([other.Id, other.Id]);
        Choose([stuck], s_oneWorker with { Lost = 1 }).ShouldBe([stuck.Id]);
        Choose([stuck with { UnitSeconds = 4 }], s_oneWorker with { Lost = 2 }).Count.ShouldBe(2);
    }

    /// <summary>One worker, fifty pipelines of half a minute a unit, and a small model that comes when all of them are under way.</summary>
    [Fact]
    public void A_small_model_waits_for_the_units_that_the_worker_has()
    {
        var worker = new OneWorker();
        for (var k = 0; k < 50; k++)
            worker.Add(units: 100, seconds: 30);
        worker.Run(600);
        var small = worker.Add(units: 4, seconds: 0.2);
        worker.Run(600);
        output.WriteLine($"ended after {worker.EndOf(small):0.0} s");
        worker.EndOf(small).ShouldBeLessThan(3 * 30, "one unit at hand, one behind it, and its own");
    }

    /// <summary>However many short ones come, a long one is done when its share of the worker would have done it.</summary>
    [Fact]
    public void A_long_unit_is_not_passed_for_ever()
    {
        var worker = new OneWorker();
        for (var k = 0; k < 10; k++)
            worker.Add(units: 1, seconds: 1);
        var whale = worker.Add(units: 2, seconds: 60);
        for (var k = 0; k < 6000; k++)
        {
            worker.Add(units: 1, seconds: 1);
            worker.Run(1);
        }
        output.WriteLine($"ended after {worker.EndOf(whale):0} s");
        // The worker is never idle: with one unit of it at hand there are sixty pipelines more.
        worker.EndOf(whale).ShouldBeInRange(60 * 10, 60 * (12 + 75) + 2 * 60);
    }

    [Fact]
    public void The_place_is_the_number_of_units_that_come_before()
    {
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        for (var run = 0; run < 200; run++)
        {
            var pipelines = Enumerable.Range(0, random.Next(2, 12)).Select(_ => (Pipeline: Running(random), Queued: random.Next(0, 9))).ToList();
            pipelines = [.. pipelines.Select(each => (each.Pipeline with { Issued = each.Pipeline.Done + each.Queued + random.Next(0, 3) }, each.Queued))];
            var (own, queued) = pipelines[0];
            pipelines[0] = (own with { Done = 0, Given = 0, Issued = queued + 1 }, queued + 1);
            var backlogs = pipelines.Select(each => Backlog.Of(each.Pipeline, each.Queued)!).ToList();
            var order = Choose(backlogs, new QueueRoom(int.MaxValue, 0));
            var place = new PipelineQueues(pipelines, _ => 2).PlaceOf(pipelines[0].Pipeline).ShouldNotBeNull($"seed {seed}");
            place.Units.ShouldBe(backlogs.Sum(backlog => backlog.Sent) + order.IndexOf(own.Id), $"seed {seed}, run {run}");
            var ahead = order.Take(order.IndexOf(own.Id)).GroupBy(id => id).ToDictionary(same => same.Key, same => same.Count());
            place.Seconds.ShouldBe(backlogs.Sum(backlog => (backlog.Sent + ahead.GetValueOrDefault(backlog.Id)) * backlog.UnitSeconds) / 2, 1e-6, $"seed {seed}, run {run}");
        }
    }

    [Fact]
    public void What_a_unit_takes_is_measured_or_forecast()
    {
        var pipeline = Running(new Random(1)) with { Issued = 12, Done = 4, UnitSeconds = 2.5 };
        Backlog.Of(pipeline, queued: 3).ShouldBe(new Backlog(pipeline.Id, WorkQueues.Quantizer, 3, Sent: 5, 2.5, pipeline.ActiveAt));
        Backlog.Of(pipeline, queued: 3, waiting: 5)!.Sent.ShouldBe(0, "a unit that waits for its next attempt is at no worker");
        double Expected(double? forecast, int total) => Backlog.Of(pipeline with
        {
            UnitSeconds = null,
            Total = total,
            Forecast = forecast is { } seconds ? new PipelineForecast([new KindForecast(pipeline.Kind, seconds, seconds)], true) : null,
        }, 0)!.UnitSeconds;
        Expected(50, 100).ShouldBe(0.5);
        Expected(0.7, 0).ShouldBe(0.7, "all of it is one unit at most");
        Expected(5000, 0).ShouldBe(30, "the first unit is cut by its worker");
        Expected(null, 0).ShouldBe(10);
        Backlog.Of(pipeline with { Kind = DistilStage.Kind, Done = 40, Issued = 3 }, 0)!.Sent.ShouldBe(1, "steps are counted there, and one round is under way");
        Backlog.Of(pipeline with { Kind = PublishStage.Kind }, 0).ShouldBeNull();
    }

    private static List<Guid> Choose(IReadOnlyList<Backlog> backlogs, QueueRoom room) => [.. CommandTurns.Choose(backlogs, _ => room, int.MaxValue)];

    private static Backlog State(int queued, int sent, double seconds) => new(Guid.NewGuid(), WorkQueues.Quantizer, queued, sent, seconds, s_now);

    private static Pipeline Running(Random random) => new Machine().Pipeline with
    {
        Status = PipelineStatus.Running,
        Kind = DecomposeStage.Kind,
        Total = 100,
        Done = random.Next(1, 50),
        UnitSeconds = Math.Exp(random.NextDouble() * 6 - 3),
        KindStartedAt = s_now,
        ActiveAt = s_now.AddSeconds(random.Next(1000)),
    };

    /// <summary>A worker that does one unit after the other, as it is sent them.</summary>
    private sealed class OneWorker
    {
        private readonly List<(Backlog Backlog, int Left)> _pipelines = [];
        private readonly Dictionary<Guid, (DateTimeOffset Begin, double? Took)> _times = [];
        private readonly Queue<Guid> _queue = [];
        private DateTimeOffset _now = s_now, _free = s_now;
        private Guid? _atHand;

        public Guid Add(int units, double seconds)
        {
            // As many are outstanding at once as the machine issues.
            var state = new Backlog(Guid.NewGuid(), WorkQueues.Quantizer, Math.Min(units, 4), 0, seconds, _now);
            _pipelines.Add((state, units));
            _times[state.Id] = (_now, null);
            return state.Id;
        }

        public double EndOf(Guid pipeline) => _times[pipeline].Took.ShouldNotBeNull("it has not ended");

        public void Run(double seconds)
        {
            for (var end = _now.AddSeconds(seconds); ;)
            {
                foreach (var id in Choose([.. _pipelines.Select(each => each.Backlog)], s_oneWorker))
                {
                    Change(id, state => state with { Queued = state.Queued - 1, Sent = state.Sent + 1 });
                    _queue.Enqueue(id);
                }
                if (_atHand is null && _queue.TryDequeue(out var next))
                {
                    _atHand = next;
                    _free = _now.AddSeconds(_pipelines.Single(each => each.Backlog.Id == next).Backlog.UnitSeconds);
                }
                if (_atHand is not { } done || _free > end)
                {
                    _now = end;
                    return;
                }
                (_now, _atHand) = (_free, null);
                Change(done, state => state with { Sent = state.Sent - 1, ActiveAt = _now }, ended: 1);
            }
        }

        private void Change(Guid id, Func<Backlog, Backlog> change, int ended = 0)
        {
            var index = _pipelines.FindIndex(each => each.Backlog.Id == id);
            var (state, left) = (change(_pipelines[index].Backlog), _pipelines[index].Left - ended);
            _pipelines[index] = (state with { Queued = Math.Min(left - state.Sent, state.Queued + ended) }, left);
            if (left > 0)
                return;
            _pipelines.RemoveAt(index);
            _times[id] = (_times[id].Begin, (_now - _times[id].Begin).TotalSeconds);
        }
    }
}
