import java.io.StringReader;
import java.sql.*;
import org.postgresql.PGConnection;

/** What an ordinary JDBC program does; prints what it sees. Arguments: URL, user, password. */
public class Jdbc {
  public static void main(String[] args) throws Exception {
    try (Connection c = DriverManager.getConnection(args[0] + "?prepareThreshold=1&binaryTransfer=true&sslmode=disable", args[1], args[2])) {
      try (PreparedStatement p = c.prepareStatement("SELECT id, name, born, salary, profile::text FROM customers WHERE id = ?")) {
        for (int turn = 0; turn < 4; turn++) {
          p.setInt(1, turn % 3 + 1);
          try (ResultSet r = p.executeQuery()) {
            while (r.next()) System.out.println(r.getInt(1) + " " + r.getString(2) + " " + r.getDate(3) + " " + r.getLong(4) + " " + r.getString(5));
          }
        }
      }
      c.setAutoCommit(false);
      try (PreparedStatement p = c.prepareStatement("INSERT INTO carts (id, note) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
        for (int n = 0; n < 50; n++) {
          p.setInt(1, 3000 + n);
          p.setString(2, "n" + n);
          p.addBatch();
        }
        System.out.println(p.executeBatch().length);
      }
      try (Statement s = c.createStatement()) {
        s.setFetchSize(7);
        int rows = 0;
        try (ResultSet r = s.executeQuery("SELECT id FROM carts WHERE id >= 3000 ORDER BY id")) {
          while (r.next()) rows++;
        }
        System.out.println(rows);
      }
      Savepoint savepoint = c.setSavepoint();
      try (Statement s = c.createStatement()) {
        s.executeQuery("SELECT nope FROM carts");
      } catch (SQLException e) {
        System.out.println(e.getSQLState());
        c.rollback(savepoint);
      }
      System.out.println(c.unwrap(PGConnection.class).getCopyAPI().copyIn("COPY carts (id, note) FROM STDIN", new StringReader("4000\ta\n4001\tb\n")));
      try (Statement s = c.createStatement()) {
        System.out.println(s.executeUpdate("DELETE FROM carts WHERE id >= 3000"));
      }
      c.commit();
      try (ResultSet r = c.getMetaData().getColumns(null, "public", "orders", null)) {
        while (r.next()) System.out.println(r.getString("COLUMN_NAME") + " " + r.getString("TYPE_NAME"));
      }
    }
  }
}
