using Qbb.Hosting;
using Qbb.Registry;

return args is ["migrate", .. var settings]
    ? await ServiceHost.RunOnceAsync(settings, builder => builder.AddMigration())
    : await ServiceHost.RunAsync(args, "registry", "http://localhost:8080", builder => builder.AddRegistry(), app => app.MapRegistry());
