using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

public sealed class OutboxTests : IDisposable
{
    private const string Plain = """{"decomposition":{"bases":3}}""";
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("Nonsense", "{}", "unknown type Nonsense")]
    [InlineData(nameof(AssembleModel), "{\"PipelineId\":", "it is damaged: ")]
    [InlineData(nameof(AssembleModel), "{\"Model\":\"no digest\"}", "it is damaged: ")]
    public async Task A_message_that_cannot_be_sent_is_set_aside_with_its_error_and_the_others_go_on(string type, string body, string reason)
    {
        var hold = new TaskCompletionSource();
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = hold.Task });
        await server.UploadAsync("tiny");
        var broken = await server.StartAsync(Plain);
        await server.InDatabaseAsync(async context =>
        {
            context.Outbox.Add(new OutboxMessage { MessageId = Guid.NewGuid(), Type = type, Body = body, PipelineId = broken, Queue = WorkQueues.Quantizer });
            return await context.SaveChangesAsync();
        });
        var other = await server.StartAsync("""{"decomposition":{"bases":4}}""");
        var end = await server.EndOfAsync(broken);
        end.State.ShouldBe(PipelineState.Failed);
        end.Error!.ShouldStartWith($"{type} cannot be sent: {reason}");
        hold.SetResult();
        (await server.EndOfAsync(other)).State.ShouldBe(PipelineState.Succeeded);
        var left = await server.InDatabaseAsync(context => context.Outbox.SingleAsync());
        (left.PipelineId, left.Type).ShouldBe((broken, type));
        left.Error!.ShouldStartWith(reason);

        await server.Api.RetryPipelineAsync(broken);
        (await server.EndOfAsync(broken)).State.ShouldBe(PipelineState.Succeeded);
        await server.Api.RemovePipelineAsync(broken);
        await RegistryServer.UntilAsync(() => server.InDatabaseAsync(async context => !await context.Outbox.AnyAsync()));
    }

    public void Dispose() => _folder.Dispose();
}
