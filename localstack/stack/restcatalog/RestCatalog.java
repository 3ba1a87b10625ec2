import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.Map;
import org.apache.iceberg.CatalogUtil;
import org.apache.iceberg.catalog.Catalog;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;

/**
 * Serves an Iceberg JDBC catalog over REST on a loopback port, with the servlet that Apache Iceberg
 * tests its own clients with.
 *
 * <p>Usage: {@code java -cp 'lib/*' RestCatalog.java PORT key=value...}, where the pairs are
 * catalog properties (uri, warehouse, io-impl, s3.*). Iceberg's own main class listens on every
 * address of the machine; this one does not.
 */
public class RestCatalog {
  public static void main(String[] args) throws Exception {
    Map<String, String> properties = new HashMap<>();
    properties.put("jdbc.schema-version", "V1");
    for (int i = 1; i < args.length; i++) {
      String[] pair = args[i].split("=", 2);
      properties.put(pair[0], pair[1]);
    }

    Catalog catalog =
        CatalogUtil.loadCatalog("org.apache.iceberg.jdbc.JdbcCatalog", "rest", properties, null);

    ServletContextHandler context = new ServletContextHandler(ServletContextHandler.NO_SESSIONS);
    context.addServlet(
        new ServletHolder(new RESTCatalogServlet(new RESTCatalogAdapter(catalog))), "/*");

    Server server =
        new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
    server.setHandler(context);
    server.start();
    server.join();
  }
}
