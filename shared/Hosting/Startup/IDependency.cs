namespace Qbb.Hosting.Startup;

/// <summary>Something outside the process that a service cannot do without, such as a broker or a database.</summary>
public interface IDependency
{
    /// <summary>For messages: "the broker at localhost:5672".</summary>
    string Name { get; }

    /// <summary>Tries it once; throws where it cannot be used, with a reason for people.</summary>
    Task ProbeAsync(CancellationToken cancellation);
}

/// <summary>Work of a start that only needs the processor: it begins on another core while the service is put together. If it fails, whoever needs it fails with the reason.</summary>
public interface IPreparation
{
    void Prepare();
}
