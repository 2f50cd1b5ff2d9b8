using System.ComponentModel.DataAnnotations;
using Qbb.Hosting.Options;
using RabbitMQ.Client;

namespace Qbb.Hosting.Bus;

/// <summary>Section <c>Bus</c> of the configuration.</summary>
public sealed class BusOptions : IValidatableObject
{
    public const string Section = "Bus";

    public BusTransport Transport { get; set; } = BusTransport.Memory;

    /// <summary>Of the broker.</summary>
    public string Host { get; set; } = "localhost";

    [Range(1, 65535)]
    public int Port { get; set; } = 5672;

    public string VirtualHost { get; set; } = "/";

    public string User { get; set; } = "guest";

    public string Password { get; set; } = "guest";

    /// <summary>A file whose first line is the password, instead of <see cref="Password"/>.</summary>
    public string? PasswordFile { get; set; }

    /// <summary>A word before the name of every queue and exchange, so that several systems can share one broker.</summary>
    [RegularExpression("[a-z0-9-]*", ErrorMessage = "Bus:Prefix may have lower-case letters, digits and hyphens only")]
    public string Prefix { get; set; } = "";

    /// <summary>Seconds that the current unit may still take when the service is stopped; then it is handed back.</summary>
    [Range(0, 3600)]
    public int FinishSeconds { get; set; } = 20;

    /// <summary>How long a stop may take: the current unit, handing it back, and closing everything.</summary>
    public TimeSpan StopTimeout => TimeSpan.FromSeconds(FinishSeconds + 10);

    /// <summary>Of the broker's queues: classic, or quorum, which several nodes of a cluster keep.</summary>
    public QueueType QueueType { get; set; } = QueueType.Classic;

    /// <summary>For messages.</summary>
    public string Address => $"{Host}:{Port}";

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (!Enum.IsDefined(Transport))
            yield return new("Bus:Transport must be memory or rabbitmq");
        if (!Enum.IsDefined(QueueType))
            yield return new("Bus:QueueType must be classic or quorum");
        if (string.IsNullOrWhiteSpace(Host))
            yield return new("Bus:Host is empty; give the broker's host name");
        if (PasswordFile is not null && !File.Exists(PasswordFile))
            yield return new($"Bus:PasswordFile is {PasswordFile}, where there is no file");
    }

    /// <summary>The password, wherever it stands.</summary>
    public string ReadPassword() => PasswordFile is null ? Password : OptionsExtensions.ReadSecret(PasswordFile);

    /// <summary>The name of a queue.</summary>
    public string QueueOf(string service) => Prefix.Length == 0 ? service : $"{Prefix}-{service}";

    /// <summary>A connection to the broker that does not come back by itself.</summary>
    internal Task<IConnection> ConnectAsync(CancellationToken cancellation) => new ConnectionFactory
    {
        HostName = Host,
        Port = Port,
        VirtualHost = VirtualHost,
        UserName = User,
        Password = ReadPassword(),
        AutomaticRecoveryEnabled = false,
    }.CreateConnectionAsync(cancellation);
}

/// <summary>What carries messages.</summary>
public enum BusTransport
{
    /// <summary>The process itself: for one process alone. Messages go with it; the registry sends again what is outstanding.</summary>
    Memory,

    /// <summary>A RabbitMQ broker.</summary>
    RabbitMq,
}

/// <summary>How a broker keeps its queues.</summary>
public enum QueueType
{
    /// <summary>On one node.</summary>
    Classic,

    /// <summary>On several nodes, which agree on every message.</summary>
    Quorum,
}
