using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Tests.Service;

// Every class starts processes of its own: one at a time is quicker, and what is measured is what runs alone. Broker and database serve them all;
// each cluster has its own queues, exchanges and database.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
[assembly: AssemblyFixture(typeof(RabbitServer))]
[assembly: AssemblyFixture(typeof(PostgresServer))]
