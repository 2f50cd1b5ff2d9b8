namespace Qbb.Models.Tests;

public class RowWorkersTests
{
    [Theory]
    [InlineData(1, 1), InlineData(1, 4), InlineData(7, 3), InlineData(100, 4), InlineData(5, 64)]
    public void Every_row_is_done_once(int count, int threads)
    {
        var workers = new RowWorkers();
        for (var round = 0; round < 50; round++)
        {
            var done = new int[count];
            workers.Run(count, threads, (first, last) =>
            {
                for (var k = first; k < last; k++)
                    Interlocked.Increment(ref done[k]);
            });
            done.ShouldAllBe(times => times == 1);
        }
    }

    [Fact]
    public void A_block_of_rows_stays_with_its_thread_where_all_are_awake()
    {
        var workers = new RowWorkers();
        var threads = new int[2][];
        for (var round = 0; round < 2; round++)
        {
            threads[round] = new int[3];
            using var awake = new CountdownEvent(3);
            workers.Run(3, 3, (first, _) =>
            {
                threads[round][first] = Environment.CurrentManagedThreadId;
                awake.Signal();
                awake.Wait(TestContext.Current.CancellationToken);
            });
        }
        threads[0].Distinct().Count().ShouldBe(3);
        threads[1].ShouldBe(threads[0]);
    }

    [Fact]
    public void Work_that_a_sleeping_thread_did_not_take_is_done_by_the_caller()
    {
        var workers = new RowWorkers();
        var callers = 0;
        for (var round = 0; round < 2000; round++)
        {
            var done = 0;
            workers.Run(4, 4, (first, last) =>
            {
                if (first > 0 && Thread.CurrentThread.Name != "qbb rows")
                    Interlocked.Increment(ref callers);
                Interlocked.Add(ref done, last - first);
            });
            done.ShouldBe(4);
        }
        callers.ShouldBeGreaterThan(0);
    }

    [Fact]
    public void Two_callers_at_once_both_get_their_rows_done()
    {
        var workers = new RowWorkers();
        Parallel.For(0, 40, _ =>
        {
            var sum = 0L;
            workers.Run(1000, 3, (first, last) =>
            {
                for (var k = first; k < last; k++)
                    Interlocked.Add(ref sum, k);
            });
            sum.ShouldBe(499_500);
        });
    }

    [Theory]
    [InlineData(0), InlineData(2)]
    public void A_failure_reaches_the_caller_and_the_workers_live_on(int failing)
    {
        var workers = new RowWorkers();
        Should.Throw<InvalidOperationException>(() => workers.Run(3, 3, (first, _) =>
        {
            if (first == failing)
                throw new InvalidOperationException("broken");
        })).Message.ShouldBe("broken");
        var done = 0;
        workers.Run(3, 3, (first, last) => Interlocked.Add(ref done, last - first));
        done.ShouldBe(3);
    }
}
