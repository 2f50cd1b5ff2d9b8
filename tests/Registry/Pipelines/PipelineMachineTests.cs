using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Stages;
using static Qbb.Registry.Pipelines.Machine.PipelineEvent;
using UnitFailed = Qbb.Registry.Pipelines.Machine.PipelineEvent.UnitFailed;

namespace Qbb.Registry.Tests.Pipelines;

public sealed class PipelineMachineTests
{
    private static readonly Worker s_worker = new();

    [Theory]
    [InlineData(false, false, false, "Decompose AssembleModel Evaluate Publish")]
    [InlineData(false, true, false, "Decompose AssembleModel Sample GatherData Score Filter Distil Evaluate Publish")]
    [InlineData(true, false, true, "Sample GatherData Decompose AssembleModel SampleWindows GatherWindows Evaluate Publish")]
    [InlineData(true, true, false, "Sample GatherData Decompose AssembleModel Score Filter Distil Evaluate Publish")]
    public void Kinds_of_work_follow_one_another(bool calibrated, bool distils, bool samples, string expected)
    {
        var machine = New(new PipelineRoute(calibrated, distils, samples));
        var kinds = new List<UnitKind>();
        var orders = new Queue<UnitOrder>(machine.On(new Started()));
        while (orders.TryDequeue(out var order))
        {
            if (kinds.Count == 0 || kinds[^1] != order.Kind)
                kinds.Add(order.Kind);
            foreach (var next in machine.On(s_worker.Answer(order)))
                orders.Enqueue(next);
        }
        kinds.Add(machine.Pipeline.Kind);

        string.Join(' ', kinds.Select(kind => kind.Name)).ShouldBe(expected);
        machine.Publications.ShouldBe(1);
        machine.Pipeline.Artifact.ShouldBe(distils ? "distilled" : "AssembleModel 0");
        machine.On(new Published(Guid.NewGuid())).ShouldBeEmpty();
        machine.Pipeline.Status.ShouldBe(PipelineStatus.Succeeded);
        machine.Pipeline.Times.Select(time => time.Kind).ShouldBe(kinds[..^1]);
    }

    [Fact]
    public void The_first_unit_goes_alone_and_then_no_more_than_the_limit_are_outstanding()
    {
        var machine = New(limits: new PipelineLimits { Outstanding = 4 });
        var worker = new Worker { Layers = 10 };
        Indices(machine.On(new Started())).ShouldBe([0]);
        Indices(machine.On(worker.Answer(DecomposeStage.Kind, 0))).ShouldBe([1, 2, 3, 4]);
        Indices(machine.On(worker.Answer(DecomposeStage.Kind, 2))).ShouldBe([5]);
        machine.On(worker.Answer(DecomposeStage.Kind, 2)).ShouldBeEmpty("the same result again");
        machine.On(worker.Answer(DecomposeStage.Kind, 9)).ShouldBeEmpty("it was never sent");
        (machine.Pipeline.Done, machine.Pipeline.Total).ShouldBe((2, 10));
    }

    [Fact]
    public void A_chained_decomposition_goes_one_by_one()
    {
        var machine = New();
        var worker = new Worker { Chained = true, Layers = 3 };
        machine.On(new Started());
        Indices(machine.On(worker.Answer(DecomposeStage.Kind, 0))).ShouldBe([1]);
        Indices(machine.On(worker.Answer(DecomposeStage.Kind, 1))).ShouldBe([2]);
        machine.On(worker.Answer(DecomposeStage.Kind, 2)).Single().Kind.ShouldBe(AssembleStage.Kind);
    }

    [Fact]
    public void A_failed_unit_waits_longer_each_time_and_fails_the_pipeline_in_the_end()
    {
        var machine = New(limits: new PipelineLimits { Attempts = 3, Backoff = TimeSpan.FromSeconds(2) });
        machine.On(new Started());
        foreach (var seconds in new[] { 2, 4 })
        {
            machine.On(Failed("disk full")).ShouldBeEmpty();
            machine.On(Failed("disk full")).ShouldBeEmpty("twice the same");
            machine.Pipeline.Status.ShouldBe(PipelineStatus.Running);
            machine.Pipeline.Error.ShouldBe("decompose 1: disk full");
            machine.Now += TimeSpan.FromSeconds(seconds - 0.1);
            machine.On(new UnitsDue()).ShouldBeEmpty();
            machine.Now += TimeSpan.FromSeconds(0.1);
            Indices(machine.On(new UnitsDue())).ShouldBe([0]);
        }
        machine.On(Failed("disk full"));
        machine.Pipeline.Status.ShouldBe(PipelineStatus.Failed);
        machine.Pipeline.Error.ShouldBe("decompose 1: disk full (attempt 3)");

        Indices(machine.On(new Retried())).ShouldBe([0]);
        machine.Unit(DecomposeStage.Kind, 0).Attempt.ShouldBe(4);
        machine.Pipeline.Error.ShouldBeNull();
        machine.On(Failed("disk full"));
        machine.Pipeline.Status.ShouldBe(PipelineStatus.Running, "another try has its own attempts");
    }

    [Fact]
    public void A_failed_unit_that_is_done_after_all_clears_the_trouble()
    {
        var machine = New();
        machine.On(new Started());
        machine.On(Failed("disk full"));
        machine.On(s_worker.Answer(DecomposeStage.Kind, 0)).ShouldNotBeEmpty("a late result of an earlier attempt counts");
        machine.Pipeline.Error.ShouldBeNull();
        machine.Now += TimeSpan.FromHours(1);
        machine.On(new UnitsDue()).ShouldBeEmpty();
    }

    [Fact]
    public void A_store_that_is_away_is_waited_for_without_counting()
    {
        var machine = New(limits: new PipelineLimits { Attempts = 2, Backoff = TimeSpan.FromSeconds(2) });
        machine.On(new Started());
        var waits = new List<double>();
        for (var time = 0; time < 12; time++)
        {
            machine.On(new UnitFailed(Worker.Key(DecomposeStage.Kind, 0), "the store does not answer", FailureKind.Away)).ShouldBeEmpty();
            machine.Pipeline.Status.ShouldBe(PipelineStatus.Running);
            var due = machine.Unit(DecomposeStage.Kind, 0).DueAt!.Value;
            waits.Add((due - machine.Now).TotalSeconds);
            machine.Now = due;
            Indices(machine.On(new UnitsDue())).ShouldBe([0]);
        }
        waits.ShouldBe([2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]);
        machine.Unit(DecomposeStage.Kind, 0).Failures.ShouldBe(0);
        machine.On(s_worker.Answer(DecomposeStage.Kind, 0)).ShouldNotBeEmpty();
    }

    [Fact]
    public void A_machine_at_fault_costs_no_attempt_and_another_is_asked_soon()
    {
        var machine = New(limits: new PipelineLimits { Attempts = 2, Backoff = TimeSpan.FromSeconds(2) });
        machine.On(new Started());
        for (var time = 0; time < 8; time++)
        {
            machine.On(new UnitFailed(Worker.Key(DecomposeStage.Kind, 0), "the disk is full", FailureKind.Machine)).ShouldBeEmpty();
            machine.Pipeline.Status.ShouldBe(PipelineStatus.Running);
            machine.Pipeline.Error.ShouldBe("decompose 1: the disk is full");
            machine.Now += TimeSpan.FromSeconds(2);
            Indices(machine.On(new UnitsDue())).ShouldBe([0]);
        }
        machine.Unit(DecomposeStage.Kind, 0).Failures.ShouldBe(0);
    }

    [Fact]
    public void Every_start_has_its_own_epoch()
    {
        var machine = At(DecomposeStage.Kind, s_worker);
        machine.Pipeline.Epoch.ShouldBe(1);
        machine.On(new Cancelled());
        machine.Pipeline.Epoch.ShouldBe(1, "the cancellation is of what was sent so far");
        machine.On(new Retried());
        machine.Pipeline.Epoch.ShouldBe(2);
        machine.On(new Cancelled());
        machine.On(new Followed(Guid.NewGuid()));
        machine.On(new Started());
        machine.Pipeline.Epoch.ShouldBe(3);
    }

    [Fact]
    public void A_distillation_that_is_of_no_use_leaves_the_student_with_a_note()
    {
        var machine = At(DistilStage.Kind, s_worker);
        var student = machine.Pipeline.Student;
        machine.On(new UnitDone(Worker.Key(DistilStage.Kind, 0), new UnitOutcome(student!) { Step = 20, Units = 20, Finished = true, Note = "no better" }))
            .ShouldNotBeEmpty();
        (machine.Pipeline.Artifact, machine.Pipeline.Note).ShouldBe((student, "no better"));
        machine.On(new Cancelled());
        machine.On(new Retried(DistilStage.Kind));
        (machine.Pipeline.Artifact, machine.Pipeline.Note).ShouldBe((null, null), "the next training may do better");
    }

    [Fact]
    public void A_retry_begins_again_at_the_kind_whose_result_is_gone()
    {
        var machine = At(EvaluateStage.Kind, s_worker);
        machine.On(new Cancelled());
        machine.On(new Retried(AssembleStage.Kind)).Single().Kind.ShouldBe(AssembleStage.Kind);
        (machine.Pipeline.Student, machine.Pipeline.Data, machine.Pipeline.Checkpoint, machine.Pipeline.Artifact).ShouldBe((null, null, null, null));
        machine.Pipeline.Times.Select(time => time.Kind).ShouldBe([DecomposeStage.Kind]);
    }

    [Fact]
    public void A_permanent_failure_fails_at_once_and_says_where()
    {
        var machine = At(DecomposeStage.Kind, s_worker);
        machine.On(s_worker.Answer(DecomposeStage.Kind, 0));
        machine.On(new UnitFailed(Worker.Key(DecomposeStage.Kind, 1), "tensor is damaged", FailureKind.Input)).ShouldBeEmpty();
        machine.Pipeline.Status.ShouldBe(PipelineStatus.Failed);
        machine.Pipeline.Error.ShouldBe("decompose 2: tensor is damaged");
        machine.On(s_worker.Answer(DecomposeStage.Kind, 2)).ShouldBeEmpty("it has ended");
        Indices(machine.On(new Retried())).ShouldBe([1, 2, 3, 4], ignoreOrder: true);
    }

    [Fact]
    public void Cancel_sends_nothing_more_and_retry_goes_on_from_there()
    {
        var worker = new Worker { Layers = 4 };
        var machine = At(DecomposeStage.Kind, worker);
        machine.On(worker.Answer(DecomposeStage.Kind, 0));
        machine.On(worker.Answer(DecomposeStage.Kind, 2));
        machine.On(new Cancelled()).ShouldBeEmpty();
        machine.Pipeline.Status.ShouldBe(PipelineStatus.Cancelled);
        machine.On(worker.Answer(DecomposeStage.Kind, 1)).ShouldBeEmpty();
        machine.On(new Cancelled()).ShouldBeEmpty();

        Indices(machine.On(new Retried())).ShouldBe([1, 3], ignoreOrder: true);
        machine.Pipeline.Done.ShouldBe(2);
    }

    [Fact]
    public void A_restart_sends_the_outstanding_units_again_as_they_were()
    {
        var machine = At(DecomposeStage.Kind, s_worker);
        var orders = machine.On(s_worker.Answer(DecomposeStage.Kind, 0));
        machine.On(s_worker.Answer(DecomposeStage.Kind, 1));
        var before = machine.Pipeline;
        machine.On(new Resumed()).ShouldBe(orders.Skip(1), ignoreOrder: true);
        machine.Pipeline.ShouldBeSameAs(before);
    }

    [Fact]
    public void A_follower_takes_its_leaders_artifact()
    {
        var leader = At(PublishStage.Kind, s_worker);
        leader.On(new Published(Guid.NewGuid()));
        var follower = New();
        follower.On(new Followed(leader.Pipeline.Id)).ShouldBeEmpty();
        follower.Pipeline.Status.ShouldBe(PipelineStatus.Following);
        follower.On(new LeaderEnded(leader.Pipeline)).ShouldBeEmpty();
        follower.Publications.ShouldBe(1);
        follower.Pipeline.Artifact.ShouldBe(leader.Pipeline.Artifact);
        follower.On(new LeaderEnded(leader.Pipeline));
        follower.Publications.ShouldBe(1);
    }

    [Fact]
    public void A_follower_fails_with_its_leader_and_starts_when_it_is_cancelled()
    {
        var leader = At(DecomposeStage.Kind, s_worker);
        leader.On(new UnitFailed(Worker.Key(DecomposeStage.Kind, 0), "damaged", FailureKind.Input));
        var follower = New();
        follower.On(new Followed(leader.Pipeline.Id));
        follower.On(new LeaderEnded(leader.Pipeline));
        follower.Pipeline.Error.ShouldBe(leader.Pipeline.Error);

        var other = New();
        other.On(new Followed(leader.Pipeline.Id));
        other.On(new Started()).Single().Kind.ShouldBe(DecomposeStage.Kind);
        other.Pipeline.LeaderId.ShouldBeNull();
    }

    [Fact]
    public void An_answer_that_makes_no_sense_fails_the_pipeline()
    {
        var machine = New();
        machine.On(new Started());
        machine.On(new UnitDone(Worker.Key(DecomposeStage.Kind, 0), new UnitOutcome("result") { Units = 0 }));
        machine.Pipeline.Error.ShouldBe("decompose 1: the worker says that there are 0 units");

        machine = At(DistilStage.Kind, s_worker);
        machine.On(new UnitDone(Worker.Key(DistilStage.Kind, 0), new UnitOutcome("checkpoint") { Units = 20, Step = 0 }));
        machine.Pipeline.Error.ShouldBe("distil 1: the round ended at step 0, where it began");

        machine = At(EvaluateStage.Kind, s_worker);
        machine.On(new UnitDone(Worker.Key(EvaluateStage.Kind, 0), new UnitOutcome("score") { Units = 1 }));
        machine.Pipeline.Error.ShouldBe("evaluate 1: the worker scored nothing");
    }

    /// <summary>Workers in the order of the queue: a short pipeline that comes later waits for a minute of the long one's work, not for all of it.</summary>
    [Theory]
    [InlineData(1, 30, 4), InlineData(8, 30, 17), InlineData(1, 0.1, 64), InlineData(16, 5, 64)]
    public void What_a_pipeline_has_queued_is_about_a_minute_of_its_work_and_keeps_all_workers_busy(int workers, double unitSeconds, int most)
    {
        var worker = new Worker { Layers = 400 };
        var machine = New(new PipelineRoute(Calibrated: false, Distils: false, SamplesWindows: false));
        var queue = new Queue<int>(machine.On(new Started()).Select(order => order.Index));
        var atHand = new PriorityQueue<int, double>();
        var (clock, done, longest, idle) = (0.0, 0, 0, 0);
        while (done < 300)
        {
            while (atHand.Count < workers && queue.TryDequeue(out var next))
                atHand.Enqueue(next, clock + unitSeconds * (0.8 + 0.4 * (next * 7 % 10 / 9.0)));
            // Once the rate is known no worker waits.
            idle += done > 60 && done < 280 ? workers - atHand.Count : 0;
            atHand.TryDequeue(out var unit, out clock);
            machine.Now = DateTimeOffset.UnixEpoch.AddSeconds(clock);
            foreach (var order in machine.On(worker.Answer(DecomposeStage.Kind, unit)).Where(order => order.Kind == DecomposeStage.Kind))
                queue.Enqueue(order.Index);
            done++;
            longest = Math.Max(longest, queue.Count + atHand.Count);
        }
        longest.ShouldBeLessThanOrEqualTo(most);
        idle.ShouldBe(0);
    }

    [Fact]
    public void Results_that_were_found_are_counted_apart_and_a_retry_begins_to_count_anew()
    {
        var worker = new Worker { Layers = 10 };
        var machine = New(new PipelineRoute(Calibrated: false, Distils: false, SamplesWindows: false));
        machine.On(new Started());
        for (var layer = 0; layer < 4; layer++)
        {
            var done = (UnitDone)worker.Answer(DecomposeStage.Kind, layer);
            machine.On(done with { Outcome = done.Outcome with { Found = layer < 3 } });
        }
        (machine.Pipeline.Done, machine.Pipeline.Given).ShouldBe((4, 3));
        machine.On(new Cancelled());
        machine.Now += TimeSpan.FromHours(1);
        machine.On(new Retried());
        (machine.Pipeline.Done, machine.Pipeline.Given).ShouldBe((4, 4));
        machine.Now += TimeSpan.FromSeconds(60);
        for (var layer = 4; layer < 10; layer++)
            machine.On(worker.Answer(DecomposeStage.Kind, layer));
        machine.Pipeline.Times.Single().ShouldBe(new KindTime(DecomposeStage.Kind, 10, 60, 4));
        machine.Pipeline.Times.Single().WholeSeconds.ShouldBe(100);
        machine.Pipeline.Given.ShouldBe(0);
    }

    private static UnitFailed Failed(string reason) => new(Worker.Key(DecomposeStage.Kind, 0), reason, FailureKind.Unknown);

    private static IEnumerable<int> Indices(IEnumerable<UnitOrder> orders) => orders.Select(order => order.Index);

    private static Machine New(PipelineRoute? route = null, PipelineLimits? limits = null)
    {
        var machine = new Machine { Limits = limits ?? new PipelineLimits() };
        machine.Pipeline = machine.Pipeline with { Route = route ?? machine.Pipeline.Route };
        return machine;
    }

    private static Machine At(UnitKind kind, Worker worker)
    {
        var machine = New();
        var orders = machine.On(new Started());
        while (machine.Pipeline.Kind != kind)
            orders = [.. orders.SelectMany(order => machine.On(worker.Answer(order)))];
        return machine;
    }
}
