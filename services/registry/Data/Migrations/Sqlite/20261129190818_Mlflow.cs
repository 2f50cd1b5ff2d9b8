using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Qbb.Registry.Data.Migrations.Sqlite
{
    /// <inheritdoc />
    public partial class Mlflow : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<long>(
                name: "DoneAt",
                table: "units",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "Mlflow",
                table: "policies",
                type: "TEXT",
                nullable: true);

            migrationBuilder.CreateTable(
                name: "mlflow_imports",
                columns: table => new
                {
                    Name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    Version = table.Column<string>(type: "TEXT", maxLength: 32, nullable: false),
                    CreatedAt = table.Column<long>(type: "INTEGER", nullable: false),
                    VersionId = table.Column<Guid>(type: "TEXT", nullable: true),
                    Attempts = table.Column<int>(type: "INTEGER", nullable: false),
                    DueAt = table.Column<long>(type: "INTEGER", nullable: true),
                    Error = table.Column<string>(type: "TEXT", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_mlflow_imports", x => new { x.Name, x.Version });
                });

            migrationBuilder.CreateTable(
                name: "mlflow_links",
                columns: table => new
                {
                    SubjectId = table.Column<Guid>(type: "TEXT", nullable: false),
                    RemoteId = table.Column<string>(type: "TEXT", maxLength: 64, nullable: false),
                    Name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_mlflow_links", x => x.SubjectId);
                });

            migrationBuilder.CreateTable(
                name: "mlflow_outbox",
                columns: table => new
                {
                    Id = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    Topic = table.Column<string>(type: "TEXT", maxLength: 16, nullable: false),
                    SubjectId = table.Column<Guid>(type: "TEXT", nullable: false),
                    Body = table.Column<string>(type: "TEXT", nullable: false),
                    CreatedAt = table.Column<long>(type: "INTEGER", nullable: false),
                    Attempts = table.Column<int>(type: "INTEGER", nullable: false),
                    SentAt = table.Column<long>(type: "INTEGER", nullable: true),
                    Error = table.Column<string>(type: "TEXT", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_mlflow_outbox", x => x.Id);
                });

            migrationBuilder.CreateIndex(
                name: "IX_mlflow_imports_DueAt",
                table: "mlflow_imports",
                column: "DueAt");

            migrationBuilder.CreateIndex(
                name: "IX_mlflow_outbox_SubjectId",
                table: "mlflow_outbox",
                column: "SubjectId");

            migrationBuilder.CreateIndex(
                name: "IX_mlflow_outbox_pending",
                table: "mlflow_outbox",
                column: "Id",
                filter: "\"SentAt\" IS NULL");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "mlflow_imports");

            migrationBuilder.DropTable(
                name: "mlflow_links");

            migrationBuilder.DropTable(
                name: "mlflow_outbox");

            migrationBuilder.DropColumn(
                name: "DoneAt",
                table: "units");

            migrationBuilder.DropColumn(
                name: "Mlflow",
                table: "policies");
        }
    }
}
