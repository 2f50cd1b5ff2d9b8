using System.Net;
using k8s;
using k8s.Autorest;
using k8s.Models;
using Microsoft.Extensions.Options;

namespace Qbb.Dispatcher;

/// <summary>The Kubernetes API refuses for now: try again after a while.</summary>
internal sealed class BusyApiException(string message, TimeSpan? wait, Exception inner) : Exception(message, inner)
{
    public TimeSpan? Wait => wait;
}

/// <summary>The Jobs of the namespace. What another dispatcher did first, or undid, is as good as done.</summary>
internal sealed class JobApi(IKubernetes kubernetes, IOptions<DispatcherOptions> options)
{
    private const int PageSize = 200;
    private V1OwnerReference? _owner;

    private string Namespace => options.Value.Namespace;

    public Task<List<V1Job>> ListAsync(CancellationToken cancellation) => CallAsync("list Jobs", async () =>
    {
        var jobs = new List<V1Job>();
        for (string? next = null; ;)
        {
            V1JobList page;
            try
            {
                page = await kubernetes.BatchV1.ListNamespacedJobAsync(
                    Namespace, labelSelector: JobPlan.Managed, limit: PageSize, continueParameter: next, cancellationToken: cancellation);
            }
            catch (HttpOperationException error) when (error.Response.StatusCode == HttpStatusCode.Gone && next is not null)
            {
                // The list changed too much while it was read: from the start.
                jobs.Clear();
                next = null;
                continue;
            }
            jobs.AddRange(page.Items);
            next = page.Metadata?.ContinueProperty;
            if (string.IsNullOrEmpty(next))
                return jobs;
        }
    });

    /// <returns>False where there is one of this name already.</returns>
    public Task<bool> CreateAsync(V1Job job, CancellationToken cancellation) => CallAsync($"create the Job {job.Metadata.Name}", async () =>
    {
        job.Metadata.NamespaceProperty = Namespace;
        if (await OwnerAsync(cancellation) is { } owner)
            job.Metadata.OwnerReferences = [owner];
        return await UnlessAsync(HttpStatusCode.Conflict, () => kubernetes.BatchV1.CreateNamespacedJobAsync(job, Namespace, cancellationToken: cancellation));
    });

    /// <returns>False where it is gone.</returns>
    public Task<bool> WidenAsync(string name, int parallelism, CancellationToken cancellation) => CallAsync($"change the Job {name}", () =>
    {
        var patch = new V1Patch($$$"""{"spec":{"parallelism":{{{parallelism}}}}}""", V1Patch.PatchType.MergePatch);
        return UnlessAsync(HttpStatusCode.NotFound, () => kubernetes.BatchV1.PatchNamespacedJobAsync(patch, name, Namespace, cancellationToken: cancellation));
    });

    /// <summary>Deletes a Job with its pods.</summary>
    /// <returns>False where it is gone.</returns>
    public Task<bool> DeleteAsync(string name, CancellationToken cancellation) => CallAsync($"delete the Job {name}", () => UnlessAsync(
        HttpStatusCode.NotFound, () => kubernetes.BatchV1.DeleteNamespacedJobAsync(name, Namespace, propagationPolicy: "Background", cancellationToken: cancellation)));

    // Jobs go when the release goes.
    private async Task<V1OwnerReference?> OwnerAsync(CancellationToken cancellation)
    {
        if (_owner is null && options.Value.Owner is { } name)
        {
            var deployment = await kubernetes.AppsV1.ReadNamespacedDeploymentAsync(name, Namespace, cancellationToken: cancellation);
            _owner = new V1OwnerReference { ApiVersion = "apps/v1", Kind = "Deployment", Name = name, Uid = deployment.Metadata.Uid };
        }
        return _owner;
    }

    private static async Task<bool> UnlessAsync<T>(HttpStatusCode status, Func<Task<T>> call)
    {
        try
        {
            await call();
            return true;
        }
        catch (HttpOperationException error) when (error.Response.StatusCode == status)
        {
            return false;
        }
    }

    private static async Task<T> CallAsync<T>(string what, Func<Task<T>> call)
    {
        try
        {
            return await call();
        }
        catch (HttpOperationException error) when (error.Response.StatusCode is HttpStatusCode.TooManyRequests or >= HttpStatusCode.InternalServerError)
        {
            var wait = error.Response.Headers.TryGetValue("Retry-After", out var values) && int.TryParse(values.FirstOrDefault(), out var seconds)
                ? TimeSpan.FromSeconds(seconds) : (TimeSpan?)null;
            throw new BusyApiException($"cannot {what} now: the Kubernetes API answers {(int)error.Response.StatusCode}", wait, error);
        }
        catch (HttpOperationException error)
        {
            var remedy = error.Response.StatusCode == HttpStatusCode.Forbidden ? "; the dispatcher's Role must allow it" : "";
            throw new BusyApiException($"cannot {what}: the Kubernetes API answers {(int)error.Response.StatusCode}: {error.Response.Content}{remedy}", null, error);
        }
        catch (HttpRequestException error)
        {
            throw new BusyApiException($"cannot {what} now: {error.Message}", null, error);
        }
    }
}
