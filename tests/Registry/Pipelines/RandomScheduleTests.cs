using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Stages;
using static Qbb.Registry.Pipelines.Machine.PipelineEvent;
using UnitFailed = Qbb.Registry.Pipelines.Machine.PipelineEvent.UnitFailed;

namespace Qbb.Registry.Tests.Pipelines;

/// <summary>
/// Messages that are lost, doubled, delayed and shuffled, units that fail now and then, restarts and due times in between: whatever the
/// schedule, a pipeline ends with the same artifact and every unit is counted once.
/// </summary>
public sealed class RandomScheduleTests(ITestOutputHelper output)
{
    [Fact]
    public void Every_schedule_ends_the_same()
    {
        var seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        for (var run = 0; run < 2000; run++)
            Run(new Random(unchecked(seed + run)), run);
    }

    [Fact]
    public void Nothing_is_sent_after_the_end()
    {
        var seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        for (var run = 0; run < 200; run++)
        {
            var random = new Random(unchecked(seed + run));
            var machine = Drive(random, NewWorker(random), steps: random.Next(60), out var messages);
            machine.On(new Cancelled());
            var end = machine.Pipeline;
            foreach (var message in messages)
                machine.On(message).ShouldBeEmpty($"seed {seed} run {run}");
            machine.On(new UnitsDue()).ShouldBeEmpty();
            machine.On(new Resumed()).ShouldBeEmpty();
            machine.Pipeline.ShouldBeSameAs(end, $"seed {seed} run {run}");
        }
    }

    private static void Run(Random random, int run)
    {
        var worker = NewWorker(random);
        var machine = Drive(random, worker, int.MaxValue, out var messages);
        var route = machine.Pipeline.Route;
        var name = $"run {run}: {route} {worker}";
        machine.Pipeline.Status.ShouldBe(PipelineStatus.Succeeded, $"{name}: {machine.Pipeline.Error}");
        machine.Publications.ShouldBeGreaterThan(0, name);
        machine.Pipeline.Artifact.ShouldBe(route.Distils ? "distilled" : "AssembleModel 0", name);
        foreach (var kind in route.Kinds().Where(kind => kind != PublishStage.Kind && kind != DistilStage.Kind))
        {
            var units = machine.Units.Where(unit => unit.Kind == kind).ToList();
            units.Count.ShouldBe(worker.Total(kind), name);
            units.ShouldAllBe(unit => unit.Status == UnitStatus.Done, name);
        }
        machine.Pipeline.Times.Select(time => (time.Kind, time.Units))
            .ShouldBe(route.Kinds().SkipLast(1).Select(kind => (kind, worker.Total(kind))), name);
        var end = machine.Pipeline;
        foreach (var message in messages)
            machine.On(message).ShouldBeEmpty(name);
        machine.Pipeline.ShouldBeSameAs(end, name);
    }

    private static Worker NewWorker(Random random) => new() { Layers = random.Next(1, 12), Chained = random.Next(2) == 0 };

    // The bag holds what is under way: commands that workers have not seen and events that the registry has not.
    private static Machine Drive(Random random, Worker worker, int steps, out List<PipelineEvent> leftover)
    {
        var machine = new Machine { Limits = new PipelineLimits { Outstanding = random.Next(1, 6), Attempts = 1000 } };
        machine.Pipeline = machine.Pipeline with { Route = new PipelineRoute(random.Next(2) == 0, random.Next(2) == 0, random.Next(2) == 0) };
        var commands = new List<UnitOrder>(machine.On(new Started()));
        var events = new List<PipelineEvent>();
        for (var step = 0; step < steps && !machine.Pipeline.HasEnded; step++)
        {
            machine.Now += TimeSpan.FromSeconds(random.NextDouble());
            switch (random.Next(12))
            {
                case 0 when machine.Pipeline.Kind == PublishStage.Kind:
                    machine.On(new Published(Guid.NewGuid()));
                    break;
                case 1:
                    commands.AddRange(machine.On(new UnitsDue()));
                    break;
                case 2 when random.Next(5) == 0:
                    // Broker and registry start anew: everything under way is lost.
                    commands.Clear();
                    events.RemoveAll(_ => random.Next(2) == 0);
                    commands.AddRange(machine.On(new Resumed()));
                    break;
                case 3 when random.Next(20) == 0:
                    machine.On(new Cancelled());
                    commands.AddRange(machine.On(new Retried()));
                    break;
                case < 8 when commands.Count > 0:
                    var order = Take(commands, random, keep: random.Next(6) == 0);
                    events.Add(random.Next(6) == 0
                        ? new UnitFailed(Worker.Key(order.Kind, order.Index), "bad luck", random.Next(3) switch { 0 => FailureKind.Away, 1 => FailureKind.Machine, _ => FailureKind.Unknown })
                        : worker.Answer(order));
                    break;
                case >= 8 when events.Count > 0:
                    var happened = Take(events, random, keep: random.Next(4) == 0);
                    commands.AddRange(machine.On(happened));
                    break;
                default:
                    break;
            }
        }
        leftover = events;
        return machine;
    }

    private static T Take<T>(List<T> bag, Random random, bool keep)
    {
        var index = random.Next(bag.Count);
        var taken = bag[index];
        if (!keep)
            bag.RemoveAt(index);
        return taken;
    }
}
